"""Letters for names (k8s.io/apimachinery/pkg/util/rand)."""

import random

_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"  # no vowels: no words by accident


def letters(count: int) -> str:
    """So many by chance. They need not be hard to guess; the kernel's randomness takes six times as long."""
    return "".join(random.choices(_ALPHABET, k=count))


def safe_encode(text: str) -> str:
    """The text with a letter of these for each of its own (SafeEncodeString)."""
    return "".join(_ALPHABET[ord(char) % len(_ALPHABET)] for char in text)
