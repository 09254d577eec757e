"""The interactive session: keys and mouse, a screen that sends what changed, cine, planes, and a terminal left as it was."""
