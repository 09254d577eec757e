"""The shipped sample model: white and grey matter of a T1 head, its weights, its card and how it was trained."""
