"""What a disk, its file system and the people around them can do to the daemon's files, and what comes of it."""
