"""A way in, a sink and a page for mailbridge, each a module that stands by itself."""
