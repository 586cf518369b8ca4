"""The server of `protocol/stories.toml`, for the clients of every language."""
