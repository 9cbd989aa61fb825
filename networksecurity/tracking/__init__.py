"""What a training leaves in MLflow or on DagsHub."""
