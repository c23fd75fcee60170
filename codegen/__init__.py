"""Target IR → source text: templates only, one file per instruction family and target."""
