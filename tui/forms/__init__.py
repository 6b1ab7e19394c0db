"""A pydantic model as a form."""
