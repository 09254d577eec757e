"""What several tests share: builders of inputs, servers, and independent programs that judge."""
