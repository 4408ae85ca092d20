"""From pending facts to a published snapshot: the nightly job, its stages, and the jobs beside it."""
