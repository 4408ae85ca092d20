"""`lifelong bench`: a recipe over a stream of edits, measured as a sceptical reviewer would (`run.bench`)."""
