"""Models from the hub: the only network access of edgechat, resumable transfer, pull and update."""
