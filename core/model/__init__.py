"""Weights: building, loading, reading packed documents, generating."""
