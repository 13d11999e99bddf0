"""The network at the chosen point, as a file."""

from __future__ import annotations

from typing import Any

from dash import html
from dash.development.base_component import Component

from lossatlas.explorer.action import Action, Download, Request
from lossatlas.explorer.queue import Handle

__all__ = ["Weights"]


class Weights(Action):
    """Write the network at a point as a safetensors file that can be downloaded."""

    rank = 30
    button = "Weights of this network"
    hint = "A safetensors file with the state of the network at the marked place, for load_state_dict."

    def carry_out(self, request: Request, handle: Handle) -> Download:
        handle.report(words="writing the weights")
        if request.snapshot is not None:
            content = request.evaluator.write_snapshot(request.snapshot)
            where = request.subject.read().say_snapshot(request.snapshot)
            place = f"snapshot_{request.snapshot}"
        else:
            content = request.evaluator.write_weights(request.list_coords())
            where = request.subject.say_network(request.place.at, request.look.sample)
            place = where.replace(" ", "").replace(",", "_")
        name = "".join(letter for letter in f"{request.subject.run.path.resolve().name}_{place}" if _is_plain(letter))
        return Download(f"{name}.safetensors", content, where)

    def show(self, result: Any, ticket: str) -> Component:
        assert isinstance(result, Download)
        size = len(result.content) / 1e6
        link = html.A(f"{result.name} ({size:.2g} MB)", href=f"/results/{ticket}", download=result.name)
        return html.P([f"The network at {result.where}: ", link])


def _is_plain(letter: str) -> bool:
    return letter.isascii() and (letter.isalnum() or letter in "._-=+")
