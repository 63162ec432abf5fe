"""What `edgechat doctor` reports: a module of findings for each subject, put together in ``examination``.

A finding has an id, a level, a message and the command that fixes it. To add one, write it in the module of its
subject; ``examination`` must call its function. Nothing here changes the machine.
"""
