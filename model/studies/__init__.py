"""What a model is held against: other models (`baselines`, `unet`, `lite_medsam`), another run (`comparison`), itself
on a turned picture (`consistency`), and its own parts, when a run is poor (`diagnosis`, `counterproof`)."""
