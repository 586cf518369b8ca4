"""A new version beside the old one, given more and more of the requests while it is watched."""
