"""Where pictures come from: cameras, files, folders. ``opening.open_source`` picks by URL."""
