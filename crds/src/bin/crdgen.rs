//! Prints both definitions as YAML; `make generate` keeps `crds/motanmesh.io.yaml` by it.

use std::io::Write;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let yaml = motanmesh_crds::definitions_yaml()?;
    std::io::stdout().write_all(yaml.as_bytes())?;
    Ok(())
}
