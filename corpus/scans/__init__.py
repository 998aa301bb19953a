"""CT in: dataset layouts, orientation, windowing, the slice store, and the built-in phantom cohort."""
