"""Who caused whom: the events of a view as a graph, and the tables, walks and drawings made of it."""
