/* What the page does by itself: it keeps the place and the look of the window, moves marks, links views, and writes
   what is shown into the address. Everything that is computed is asked of the server by Dash's callbacks. */
(() => {
  "use strict";

  const set = (id, props) => window.dash_clientside.set_props(id, props);
  const quiet = () => window.dash_clientside.no_update;
  const initial = new URLSearchParams(window.location.hash.slice(1));
  const CHOICES = ["metric", "split", "scale", "sample", "alike"];
  const LETTERS = ["x", "y", "z"];
  const LONGEST_WAIT = 3000; // milliseconds for which the first question waits for pictures
  const TOLERANCE = 1e-8; // of coordinates: fields show ten digits
  const WRITING = 200; // milliseconds between two changes of the address

  let facts = {axes: {}, home: {}, path: {}, choices: {}};
  let look = {};
  let place = {at: {}};
  let walk = {kind: "line", share: 0, from: null, to: null, moved: false};
  let shown = {}; // what the page itself has written into the fields, which nobody typed
  let views = {}; // by run and part of a picture its zoom or its camera
  let begun = false;
  let turn = 0;
  let asking = null;
  let drawn = false;
  let marking = null;
  let asked = false;
  let acted = false; // a page that is only opened has no code of strangers executed
  let writing = null;
  let written = 0;

  /* The token has done its work once the page is there: nothing that copies the address is to have it. */
  if (window.location.search) {
    window.history.replaceState(null, "", window.location.pathname + window.location.hash);
  }

  const byId = (id) => document.getElementById(JSON.stringify(id, Object.keys(id).sort()));
  const plotOf = (id) => byId(id)?.querySelector(".js-plotly-plot");
  const allPlots = () => [...document.querySelectorAll(".picture .js-plotly-plot")];
  const idOf = (plot) => JSON.parse(plot.closest('[id^="{"]').id);
  const metaOf = (plot) => plot?.layout?.meta || {};
  const here = (axis) => place.at[axis] ?? facts.home[axis] ?? 0;
  const near = (a, b) => Math.abs(a - b) <= TOLERANCE * Math.max(1, Math.abs(a), Math.abs(b));
  const triggered = () => {
    const [first] = window.dash_clientside.callback_context.triggered || [];
    if (!first || first.value === undefined || first.value === null) return null;
    const dot = first.prop_id.lastIndexOf(".");
    const id = first.prop_id.slice(0, dot);
    return {id: id.startsWith("{") ? JSON.parse(id) : id, value: first.value};
  };

  function go(at, snapshot = null, byHand = true) {
    acted = acted || byHand;
    const next = {at: {...place.at, ...at}};
    if (snapshot !== null) Object.assign(next, {snapshot, walked: facts.path.run});
    const same = next.snapshot === place.snapshot
      && Object.keys(next.at).every((axis) => near(next.at[axis], here(axis)) && axis in place.at);
    if (same && (acted === asked || !byHand)) return;
    place = next;
    set("place", {data: next});
    ask();
  }

  /* What is asked in one go is asked once; turns tell the server which of two questions is the newer one. */
  function ask() {
    window.clearTimeout(asking);
    asking = window.setTimeout(() => whenDrawn(() => {
      turn += 1;
      asked = acted;
      set("alert", {children: ""}); // what went wrong before is over
      set("question", {data: {...place, split: look.split, sample: look.sample, turn, acted}});
    }, Date.now() + LONGEST_WAIT), 15);
  }

  /* Before the first answer the server opens its runs, with the cores that the first pictures are drawn with. */
  function whenDrawn(act, until) {
    const plots = allPlots();
    drawn = drawn || acted || Date.now() > until || (plots.length > 0 && plots.every((plot) => plot._fullData?.length));
    if (drawn) act();
    else asking = window.setTimeout(() => whenDrawn(act, until), 50);
  }

  /* The height of a surface at its point nearest to the place. */
  function heightAt(trace, x, y) {
    const closest = (values, at) => {
      let best = 0;
      for (let k = 1; k < values.length; k += 1) {
        if (Math.abs(values[k] - at) < Math.abs(values[best] - at)) best = k;
      }
      return best;
    };
    const row = trace.z?.[closest(trace.y, y)];
    const height = row?.[closest(trace.x, x)];
    return Number.isFinite(height) ? height : null;
  }

  /* Move the marks of all pictures of a kind; who draws in three dimensions draws everything anew for it. */
  function moveMarks(solid) {
    for (const plot of allPlots().filter((each) => Boolean(each.layout?.scene) === solid)) {
      const meta = metaOf(plot);
      const index = (plot.data || []).findIndex((trace) => trace.name === "here");
      if (index < 0 || !plot._fullData?.length) continue;
      const x = here(meta.x);
      const change = {x: [meta.upright ? [x, x] : [x]]};
      if (!meta.upright && meta.y) change.y = [[here(meta.y)]];
      if (meta.z) change.z = [[here(meta.z)]];
      if (meta.height) change.z = [[heightAt(plot._fullData[0], x, here(meta.y))]];
      const before = plot.data[index];
      if (Object.entries(change).every(([name, [to]]) => to.every((value, k) => before[name]?.[k] === value))) continue;
      window.Plotly.restyle(plot, change, [index]);
    }
  }

  /* Cuts of a volume go through the place: they are drawn anew when it moves. */
  function moveCuts() {
    const runs = new Set(allPlots().filter((plot) => metaOf(plot).follows).map((plot) => idOf(plot).run));
    runs.forEach((run) => set({kind: "cut", run}, {data: {...place.at}}));
  }

  function showFields() {
    for (const axis of Object.keys(facts.axes)) {
      shown[axis] = parseFloat(here(axis).toPrecision(10));
      set({kind: "field", axis}, {value: shown[axis]});
    }
  }

  function describeWalk() {
    const path = facts.path;
    if (walk.kind === "path" && path.at) return path.names[Math.round(walk.share * (path.at.length - 1))];
    return `${Math.round(walk.share * 100)} % of the way`;
  }

  function endsOfWalk() {
    const axes = Object.entries(facts.axes);
    const single = axes.length === 1; // a curve or a slice is walked from end to end
    const low = Object.fromEntries(axes.map(([axis, box]) => [axis, box.low]));
    const high = Object.fromEntries(axes.map(([axis, box]) => [axis, box.high]));
    return {from: walk.from || (single ? low : {...low, ...facts.home}), to: walk.to || high};
  }

  function takeStep() {
    const path = facts.path;
    if (walk.kind === "path" && path.at) {
      const k = Math.round(walk.share * (path.at.length - 1));
      go(Object.fromEntries(path.axes.map((axis, i) => [axis, path.at[k][i]])), k);
    } else {
      const {from, to} = endsOfWalk();
      const at = {};
      for (const axis of Object.keys(facts.axes)) at[axis] = from[axis] + walk.share * (to[axis] - from[axis]);
      go(at);
    }
    set("walked", {children: describeWalk()});
  }

  /* Browsers refuse an address that changes hundreds of times in a few seconds, and with it the last one. */
  function writeAddress() {
    if (writing !== null) return;
    const wait = Math.max(0, written + WRITING - Date.now());
    if (wait) writing = window.setTimeout(writeAddressNow, wait);
    else writeAddressNow();
  }

  function writeAddressNow() {
    window.clearTimeout(writing);
    writing = null;
    if (!begun) return;
    written = Date.now();
    const said = new URLSearchParams();
    for (const [name, value] of Object.entries(look)) said.set(name, value);
    for (const [axis, value] of Object.entries(place.at)) said.set(`at.${axis}`, value);
    if (place.snapshot !== undefined) said.set("snapshot", place.snapshot);
    if (walk.moved) {
      said.set("walk", walk.kind);
      said.set("along", walk.share);
      if (walk.from) said.set("from", JSON.stringify(walk.from));
      if (walk.to) said.set("to", JSON.stringify(walk.to));
    }
    if (Object.keys(views).length) said.set("views", JSON.stringify(views));
    window.history.replaceState(null, "", `${window.location.pathname}#${said}`);
  }

  const parsed = (name) => {
    try {
      const value = JSON.parse(initial.get(name));
      return value && typeof value === "object" && !Array.isArray(value) ? value : null;
    } catch {
      return null;
    }
  };

  /* A place that a link names, on all axes; null where it does not. */
  function readPlace(said) {
    const axes = Object.keys(facts.axes);
    const whole = said && axes.every((axis) => Number.isFinite(said[axis]));
    return whole ? Object.fromEntries(axes.map((axis) => [axis, said[axis]])) : null;
  }

  /* What a link says is put in place of what the page begins with; what it gets wrong is left out. */
  function restore() {
    const at = {};
    for (const axis of Object.keys(facts.axes)) {
      const value = parseFloat(initial.get(`at.${axis}`));
      if (Number.isFinite(value)) at[axis] = value;
    }
    const count = facts.path.at?.length || 0;
    const snapshot = parseInt(initial.get("snapshot"), 10);
    for (const name of CHOICES) {
      let said = initial.get(name);
      if (name === "alike") said = said === "true" ? "alike" : "own";
      if (name === "sample") said = parseInt(said, 10);
      if (initial.has(name) && facts.choices[name].includes(said)) set(name, {value: said});
    }
    walk.from = readPlace(parsed("from"));
    walk.to = readPlace(parsed("to"));
    const share = parseFloat(initial.get("along"));
    if (share >= 0 && share <= 1) {
      walk = {...walk, kind: initial.get("walk") === "path" && count ? "path" : "line", share, moved: true};
      set("walk", {value: walk.kind});
      set("along", {value: share});
    }
    if (Object.keys(at).length) go(at, snapshot >= 0 && snapshot < count ? snapshot : null, false);
    views = {};
    for (const [key, change] of Object.entries(parsed("views") || {})) {
      const kept = /^\d+\.\w+$/.test(key) && change && typeof change === "object" ? readChange(change) : null;
      if (kept) views[key] = kept;
    }
    restoreViews(Object.entries(views), Date.now() + 20000);
  }

  function restoreViews(left, until) {
    const waiting = left.filter(([key, change]) => {
      const [run, part] = key.split(".");
      const plot = plotOf({kind: "graph", part, run: parseInt(run, 10)});
      if (!plot?._fullData?.length) return true;
      mirror(plot, change);
      askForWindow(plot, change);
      return false;
    });
    if (waiting.length && Date.now() < until) window.setTimeout(() => restoreViews(waiting, until), 150);
  }

  /* Change what a picture shows, without taking that for the user's own doing. */
  function mirror(plot, change) {
    plot.mirrored = JSON.stringify(change);
    window.Plotly.relayout(plot, change);
  }

  /* Of a large survey the part that is shown is drawn with all of its points. */
  function askForWindow(plot, change) {
    const meta = metaOf(plot);
    const {run} = idOf(plot);
    if (!meta.thinned) return;
    const ranges = {};
    for (const letter of LETTERS.slice(0, 2)) {
      const ends = [change[`${letter}axis.range[0]`], change[`${letter}axis.range[1]`]];
      if (meta[letter] && ends.every(Number.isFinite)) ranges[meta[letter]] = ends;
    }
    set({kind: "window", run}, {data: Object.keys(ranges).length ? ranges : null});
  }

  const isCamera = (camera) => ["eye", "center", "up"].every((vector) => {
    const at = camera?.[vector];
    return at && LETTERS.every((letter) => Number.isFinite(at[letter]));
  });

  /* What of a change of a picture is kept: its window or its camera, whoever says so. */
  function readChange(data) {
    const kept = Object.entries(data).filter(
      ([name, value]) => /^(xaxis|yaxis)\.range\[[01]\]$/.test(name) ? Number.isFinite(value)
        : /^(xaxis|yaxis)\.autorange$/.test(name) ? value === true
          : name === "scene.camera" && isCamera(value),
    );
    return kept.length ? Object.fromEntries(kept) : null;
  }

  async function copyLink() {
    writeAddressNow();
    try {
      await navigator.clipboard.writeText(window.location.href);
      set("copy", {children: "Copied"});
    } catch {
      window.prompt("The link to what is shown:", window.location.href);
    }
    window.setTimeout(() => set("copy", {children: "Copy link"}), 1500);
  }

  const KEYS = {ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowUp: [1, 1], ArrowDown: [1, -1], PageUp: [2, 1],
    PageDown: [2, -1]};
  document.addEventListener("keydown", (event) => {
    const [which, direction] = KEYS[event.key] || [];
    const axis = Object.keys(facts.axes)[which];
    const elsewhere = event.target !== document.body && !event.target.closest?.(".picture");
    if (!axis || elsewhere || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const box = facts.axes[axis];
    const next = here(axis) + direction * box.step * (event.shiftKey ? 5 : 1);
    go({[axis]: Math.min(box.high, Math.max(box.low, next))});
  });

  /* A link that is pasted into this very window changes nothing but what follows the hash. */
  window.addEventListener("hashchange", () => {
    begun = false; // what is shown does not take the link's place any more
    window.location.reload();
  });

  document.addEventListener("click", (event) => {
    const at = event.target.closest?.("[data-at]")?.dataset.at;
    if (at) go(JSON.parse(at));
  });

  window.dash_clientside = window.dash_clientside || {};
  window.dash_clientside.explorer = {
    begin(said) {
      facts = said;
      const dark = window.matchMedia("(prefers-color-scheme: dark)");
      const dress = () => set("theme", {data: dark.matches ? "dark" : "light"});
      dark.addEventListener("change", dress);
      dress();
      place = {at: {...facts.home}}; // the same one of all runs, whatever each of them would begin at
      set("place", {data: place});
      restore();
      showFields();
      begun = true;
      return quiet();
    },

    /* A run that could not be read when the page was laid out has no pictures that could follow it. */
    renew(revisions, unread) {
      if (unread.some((run) => revisions[run])) window.location.reload();
      return quiet();
    },

    choose(metric, split, scale, sample, alike) {
      look = {metric, split, scale, sample, alike: alike === "alike"};
      set("look", {data: look});
      ask();
      return quiet();
    },

    click() {
      const event = triggered();
      const point = event?.value?.points?.[0];
      if (!point) return quiet();
      const meta = metaOf(plotOf(event.id));
      const at = {};
      for (const letter of LETTERS) {
        if (meta[letter] && Number.isFinite(point[letter])) at[meta[letter]] = point[letter];
      }
      const path = facts.path;
      const onPath = path.at && path.run === event.id.run && plotOf(event.id).data[point.curveNumber]?.name === "trajectory";
      go(at, onPath ? point.pointNumber : null);
      return quiet();
    },

    select() {
      const event = triggered();
      if (!event) return quiet();
      const meta = metaOf(plotOf(event.id));
      const range = event.value.range || {};
      const region = {};
      for (const letter of LETTERS) {
        if (meta[letter] && range[letter] && !(meta.upright && letter === "y")) {
          region[meta[letter]] = [Math.min(...range[letter]), Math.max(...range[letter])];
        }
      }
      const chosen = Object.keys(region).length ? region : null;
      set({kind: "region", run: event.id.run}, {data: chosen});
      const said = Object.entries(chosen || {}).map(([a, [l, h]]) => `${a} from ${l.toPrecision(3)} to ${h.toPrecision(3)}`);
      set({kind: "chosen", run: event.id.run}, {children: chosen ? `selected: ${said.join(", ")}` : ""});
      return quiet();
    },

    zoom() {
      const event = triggered();
      const change = event && readChange(event.value);
      if (!change) return quiet();
      const plot = plotOf(event.id);
      if (plot.mirrored === JSON.stringify(change)) return quiet();
      for (const other of allPlots()) {
        const alike = idOf(other).part === event.id.part && other !== plot
          && LETTERS.every((letter) => metaOf(other)[letter] === metaOf(plot)[letter]);
        if (alike) mirror(other, change);
        if (alike || other === plot) {
          const {run, part} = idOf(other);
          views[`${run}.${part}`] = change;
          askForWindow(other, change);
        }
      }
      writeAddress();
      return quiet();
    },

    mark() {
      moveMarks(false);
      window.clearTimeout(marking);
      marking = window.setTimeout(() => {
        moveMarks(false); // a picture that was just being drawn showed where the place had been
        moveMarks(true); // numbers do not wait for it
      }, 300);
      showFields();
      return quiet();
    },

    type(values, ids) {
      if (!begun) return quiet();
      const at = {};
      ids.forEach((id, k) => {
        if (Number.isFinite(values[k]) && values[k] !== shown[id.axis]) at[id.axis] = values[k];
      });
      if (Object.keys(at).length) go(at);
      return quiet();
    },

    press() {
      const event = triggered();
      if (!event) return quiet();
      if (event.id === "home") go({...facts.home});
      if (event.id === "copy") copyLink();
      if (event.id === "from" || event.id === "to") {
        walk[event.id] = Object.fromEntries(Object.keys(facts.axes).map((axis) => [axis, here(axis)]));
        walk.moved = true;
        set("walk", {value: "line"});
        set("walked", {children: event.id === "from" ? "begins here" : "ends here"});
        writeAddress();
      }
      return quiet();
    },

    walk(kind, share) {
      const changed = kind !== walk.kind || share !== walk.share;
      const first = !begun || !triggered();
      walk = {...walk, kind, share};
      if (first || !changed) return quiet();
      walk.moved = true;
      takeStep();
      writeAddress();
      return quiet();
    },

    write() {
      moveCuts();
      writeAddress();
      return quiet();
    },

    rest(tickets, seen, tasks) {
      return !tickets.some((ticket, k) => ticket && ticket !== seen[k]) && !tasks.some(Boolean);
    },
  };
})();
