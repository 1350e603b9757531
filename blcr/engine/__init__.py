"""The two stories, told from the top: `checkpoint` and `restart`."""
