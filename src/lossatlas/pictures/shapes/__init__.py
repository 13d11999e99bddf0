"""Named pictures: one module each, named after the picture, with one public :class:`Shape`."""
