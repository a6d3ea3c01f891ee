"""State: one interface, in Azure blobs or in files."""
