"""What ``scripts/setup`` runs before edgechat's environment exists: standard library only, Python 3.10."""
