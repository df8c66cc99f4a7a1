//! `import --motan-yaml FILE…`: a motan-go configuration in, the MeshServices and MeshDependencies that say the same out.
//!
//! `read`, `layout` and `variables` make one tree of the files, as motan-go does; `map` turns its entries into objects
//! and asks nothing of the world; `print` writes them. What is not taken from an entry becomes a comment, so that no key
//! is lost silently.

mod entry;
mod governed;
mod layout;
mod limits;
mod map;
mod name;
mod print;
mod provided;
mod read;
mod sections;
mod variables;
mod web;
mod why;

use std::path::PathBuf;

use clap::Args;

use super::Printed;

/// Print MeshServices and MeshDependencies for a motan-go configuration.
#[derive(Debug, Args)]
pub struct Import {
    /// Configuration of motan-go: files, each merged over those before it, or one directory of its `mesh-confs` layout,
    /// which needs --application or --pool; - is stdin.
    #[arg(long, num_args = 1.., required = true, value_name = "FILE")]
    pub motan_yaml: Vec<PathBuf>,

    /// The application whose configuration it is; by default what `motan-agent.application` says. Its pods are selected by
    /// the label `app`.
    #[arg(long)]
    pub application: Option<String>,

    /// The pool, as motan-go's own -pool: variables and files of the layout depend on it.
    #[arg(long)]
    pub pool: Option<String>,

    /// What `${idc}` in groups stands for, as motan-go's own -idc.
    #[arg(long)]
    pub idc: Option<String>,

    /// The labels of the application's pods, instead of `app=<application>`.
    #[arg(long, value_name = "KEY=VALUE", value_delimiter = ',')]
    pub selector: Vec<String>,

    /// The namespace to write into the objects; by default none, and `kubectl` decides.
    #[arg(long)]
    pub namespace: Option<String>,
}

/// Why a configuration can't be imported: the file, the key, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file can't be read.
    #[error("reading {file}")]
    Read {
        /// The file.
        file: String,
        /// Why.
        source: std::io::Error,
    },
    /// A file is not YAML.
    #[error("{file} is not YAML")]
    Yaml {
        /// The file.
        file: String,
        /// Where and why.
        source: serde_yaml::Error,
    },
    /// A key says what it can't.
    #[error("{file}: {key}: {what}")]
    Key {
        /// The file.
        file: String,
        /// The path of the key.
        key: String,
        /// What is wrong, and the mend.
        what: String,
    },
    /// A directory that has nothing of the layout.
    #[error("{folder}: {what}")]
    Layout {
        /// The directory.
        folder: String,
        /// What is wrong, and the mend.
        what: String,
    },
    /// A flag is missing, or can't be.
    #[error("{flag}: {what}")]
    Flag {
        /// Which.
        flag: &'static str,
        /// What is wrong, and the mend.
        what: String,
    },
    /// Something can't be written as YAML.
    #[error("writing YAML")]
    Write(#[from] serde_yaml::Error),
}

impl Import {
    /// The objects as YAML, with a comment for each key that has no counterpart.
    ///
    /// # Errors
    /// A file that can't be read, or a key that says what it can't.
    pub fn run(&self) -> Result<Printed, super::Error> {
        Ok(self.objects()?.into())
    }

    fn objects(&self) -> Result<String, Error> {
        let mut tree = layout::read(self)?;
        variables::put(&mut tree, self)?;
        let sections = sections::Sections::of(tree)?;
        print::text(&map::objects(sections, self)?)
    }
}
