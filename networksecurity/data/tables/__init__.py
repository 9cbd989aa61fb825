"""Tables of a user's own: the file that describes one, its first draft, the check of rows, and a form for one."""
