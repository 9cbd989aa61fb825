"""From training rows to a fitted model, its figures and what explains them."""
