"""The files of one vector segment: header, elements, links, map of ids."""
