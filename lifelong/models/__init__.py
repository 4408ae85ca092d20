"""The model that is edited: found and loaded, talked to, and asked through its edits."""
