"""The interactive session: keys, mouse, a screen that sends what changed, cine, planes, a terminal left as it was."""
