"""Hostile inputs by the thousand: files of runs, options, foreign formats; and whether lossatlas stands them.

Every input is made by a :class:`random.Random` from a text, its seed, and from nothing else: it can be made again from
what a report says of it, which a search with a memory, such as hypothesis, does not promise; and a hundred thousand of
them cost little more than the work that they cause. An input is tried in a fork of a process that has imported
everything and computed nothing, because what reads a foreign format may crash, hang or take all memory.
"""
