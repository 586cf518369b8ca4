"""What is watched of a deployment: metrics, alerts, a dashboard."""
