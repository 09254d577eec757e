"""What a task gives, as JSON, SR, SEG report and picture."""
