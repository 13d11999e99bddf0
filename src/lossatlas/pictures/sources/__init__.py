"""Pictures with a prefix: one module each, named after the prefix, with one public :class:`PrefixSource`."""
