//! The resize plugin: `resize` makes one image of another, `thumbnails` many of one, `identify` looks at the header.

mod args;
mod codec;
mod color;
mod colorimetry;
mod config;
mod error;
#[cfg(fuzzing)]
pub mod fuzzing;
mod guard;
mod metadata;
mod orientation;
mod pixels;
mod plan;
mod request;
mod scale;
mod sharpen;
mod work;

use plugin_api::{PluginError, Task, TaskError, plugin};

use crate::config::Checked;
pub use crate::{
    args::{
        Chroma, Crop, Fit, Focus, Format, Identified, Identify, Inline, Made, Metadata, OnDamage,
        Position, Resize, Source, Thumbnail, Thumbnails, ThumbnailsMade,
    },
    config::ResizeConfig,
};

/// The plugin's state in a worker: what was configured.
pub struct Resizer {
    checked: Checked,
}

#[plugin(cpu_bound)]
impl Resizer {
    fn open(config: ResizeConfig) -> Result<Self, PluginError> {
        Ok(Self {
            checked: config.check()?,
        })
    }

    /// Makes an image smaller or larger, turns it upright, and converts it to another format.
    #[handler(timeout = "2m")]
    fn resize(&self, args: Resize, task: &Task) -> Result<Made, TaskError> {
        Ok(request::resize(&self.checked, args, task)?)
    }

    /// Makes many images of one, which is decoded once. Reports progress for each of them.
    #[handler(timeout = "5m")]
    fn thumbnails(&self, args: Thumbnails, task: &Task) -> Result<ThumbnailsMade, TaskError> {
        Ok(request::thumbnails(&self.checked, args, task)?)
    }

    /// Tells what an image is: format, size, orientation, colours, frames. No pixels are decoded.
    #[handler(timeout = "30s")]
    fn identify(&self, args: Identify, task: &Task) -> Result<Identified, TaskError> {
        Ok(request::identify(&self.checked, args, task)?)
    }
}
