"""One module a task: classify, segment, detect, enhance, report."""
