"""Pages of collections. Every one asks ``visible_to``: another user's URL is a 404."""
