"""What `Workspace` does beside its jobs: one file for each family of verbs."""
