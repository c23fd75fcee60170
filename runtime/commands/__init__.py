"""The subcommands of `tilewright`, one file each; `runtime.cli` lists them."""
