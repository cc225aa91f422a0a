"""Overrides that make a run small and quick."""

QUICK = (
    "image_size=64",
    "heatmap_size=8",
    "batch_size=4",
    "datamodule.workers=0",
    "trainer.accelerator=cpu",
    "trainer.max_epochs=1",
    "trainer.log_every_n_steps=1",
    "++trainer.enable_progress_bar=false",
    "~callbacks.progress",
    "callbacks.pictures.faces=2",
)
FEW_FACES = ("data.train=8", "data.val=4", "data.test=5")
SMALL = (*QUICK, *FEW_FACES, "backbone.name=mobilenetv3_small_050", "logger=csv")
"""Eight rendered faces, a network of 0.6 million parameters, one epoch."""
