"""What programs of operators ask and decide: `/api/v1`, described by its own OpenAPI document."""
