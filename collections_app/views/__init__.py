"""Pages of collections. Each filters by ``visible_to``, so another user's URL gives 404."""
