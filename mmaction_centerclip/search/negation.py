"""Handle "not ..." in queries."""
import numpy as np

from mmaction_centerclip.errors import InputError

__all__ = ['exclude_vectors']

LEAST_LEFT = 1e-3  # of a query's length: less is rounding


def exclude_vectors(query: np.ndarray, excluded: np.ndarray) -> np.ndarray:
    """Make a query orthogonal to what is excluded, and of unit length again.

    The vector negation "a NOT (b OR c)" of Widdows, "Orthogonal Negation in
    Vector Spaces for Modelling Word-Meanings and Document Retrieval" (ACL
    2003). What a row shares with b counts for nothing, and less than nothing
    where a and b point the same way, as all texts of CLIP do in part. A model
    of captions does not read "without" or "no", which is why b is apart.

    Args:
        query (np.ndarray): float32 (E, ).
        excluded (np.ndarray): float32 (K, E), K at least 1.

    Returns:
        np.ndarray: float32 (E, ).

    Raises:
        InputError: If nothing is left of the query.

    Examples:
        >>> exclude_vectors(np.array([.6, .8, 0]), np.array([[1., 0, 0]])).tolist()
        [0.0, 1.0, 0.0]
    """
    weights = np.linalg.lstsq(excluded.T, query, rcond=None)[0]
    left = query - excluded.T @ weights
    length = float(np.linalg.norm(left))
    if length <= LEAST_LEFT * np.linalg.norm(query):
        raise InputError('exclude: nothing is left of the query')
    return (left / length).astype(query.dtype)
