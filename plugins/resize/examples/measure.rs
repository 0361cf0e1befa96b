//! The plugin without a host, for the benchmark beside this folder.
//!
//! - `measure generate FOLDER` writes the pictures that are measured with.
//! - `measure run FOLDER ROW SECONDS THREADS` does a row's work again and again, and prints JSON: images a second,
//!   median milliseconds, milliseconds of processor time an image, peak memory.
//! - `measure decode IMAGE TARGET.png` makes a PNG file of any other, in the same folder.
//! - `measure compare REFERENCE.png IMAGE.png` prints SSIM and PSNR.
//! - `measure reference SOURCE.png WIDTH HEIGHT TARGET.png` scales in floating point.
#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a tool for measuring, which ends when something is wrong"
)]

#[path = "../tests/resize/photo.rs"]
mod photo;
#[path = "../tests/resize/reference.rs"]
mod reference;

use std::{env, error::Error, fs, io::BufReader, path::Path, thread, time::Instant};

use photo::Rgb;
use plugin_api::{
    serde_json::{Value, json},
    testing::{self, Opened},
};
use resize::Resizer;

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

fn main() -> Outcome {
    let args: Vec<String> = env::args().skip(1).collect();
    match args
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .as_slice()
    {
        ["generate", folder] => generate(Path::new(folder)),
        ["run", folder, row, seconds, threads] => {
            run(folder, row, seconds.parse()?, threads.parse()?)
        }
        ["compare", a, b] => {
            let (a, b) = (read(a)?, read(b)?);
            println!(
                "{}",
                json!({
                    "ssim": reference::ssim(&a, &b),
                    "ssim_rgb": reference::ssim_rgb(&a, &b),
                    "psnr": reference::psnr(&a, &b),
                })
            );
            Ok(())
        }
        ["decode", source, target] => {
            let (source, target) = (Path::new(source), Path::new(target));
            let name = |path: &Path| {
                path.file_name()
                    .map(|name| name.to_string_lossy().into_owned())
            };
            let folder = source.parent().ok_or("no folder")?.display().to_string();
            let args = json!({ "source": name(source), "target": name(target), "format": "png" });
            open(&folder)?.call("resize", args)?;
            Ok(())
        }
        ["reference", source, width, height, target] => write(
            target,
            &reference::scaled(&read(source)?, width.parse()?, height.parse()?),
        ),
        _ => Err("usage: measure generate|run|compare|reference …".into()),
    }
}

fn open(folder: &str) -> Outcome<Opened<Resizer>> {
    let config = json!({ "folders": { "read": [folder], "write": [folder] } });
    testing::open(config).map_err(|error| error.message().to_owned().into())
}

/// What a row asks for.
fn request(row: &str, target: &str) -> Option<(&'static str, Value)> {
    let resize = |args: Value| Some(("resize", args));
    match row {
        "jpeg-24mp" => resize(json!({
            "source": "photo24.jpg", "target": format!("{target}.jpg"), "width": 800, "quality": 80,
        })),
        "png-12mp" => resize(json!({
            "source": "photo12.png", "target": format!("{target}.png"), "width": 400,
        })),
        "jpeg-webp" => resize(json!({
            "source": "photo24.jpg", "target": format!("{target}.webp"), "width": 800, "quality": 80,
        })),
        _ if row.starts_with("avif") => {
            let quality: u8 = row.strip_prefix("avif-").map_or(Ok(50), str::parse).ok()?;
            resize(json!({
                "source": "photo800.png", "target": format!("{target}.avif"), "width": 800, "quality": quality,
            }))
        }
        "jpeg-1mp" => resize(json!({
            "source": "photo1.jpg", "target": format!("{target}.jpg"), "width": 200, "quality": 80,
        })),
        "thumbnails" => {
            let targets: Vec<Value> = [1600, 800, 400, 200, 100]
                .iter()
                .map(|width| {
                    json!({ "target": format!("{target}-{width}.jpg"), "width": width, "quality": 80 })
                })
                .collect();
            Some((
                "thumbnails",
                json!({ "source": "photo24.jpg", "targets": targets }),
            ))
        }
        _ => None,
    }
}

fn run(folder: &str, row: &str, seconds: f64, threads: usize) -> Outcome {
    // One for each thread, as the host has one in each process: each does a task at a time.
    let plugins = (0..threads)
        .map(|_| open(folder))
        .collect::<Outcome<Vec<_>>>()?;
    let (function, args) = request(row, &format!("made-{row}")).ok_or("there is no such row")?;
    // Once before the clock starts, as everybody else.
    for plugin in &plugins {
        plugin.call(function, &args)?;
    }
    let (start, processor) = (Instant::now(), processor_ms());
    let mut times: Vec<f64> = thread::scope(|scope| {
        let handles: Vec<_> = plugins
            .iter()
            .enumerate()
            .map(|(number, plugin)| {
                scope.spawn(move || {
                    let (function, args) = request(row, &format!("made-{row}-{number}")).unwrap();
                    let mut times = Vec::new();
                    while start.elapsed().as_secs_f64() < seconds {
                        let start = Instant::now();
                        plugin.call(function, &args).unwrap();
                        times.push(start.elapsed().as_secs_f64() * 1000.0);
                    }
                    times
                })
            })
            .collect();
        handles
            .into_iter()
            .flat_map(|handle| handle.join().unwrap())
            .collect()
    });
    let wall = start.elapsed().as_secs_f64();
    let processor = processor_ms() - processor;
    times.sort_by(f64::total_cmp);
    let count = times.len() as f64;
    println!(
        "{}",
        json!({
            "per_second": count / wall,
            "median_ms": times[times.len() / 2],
            "cpu_ms": processor / count,
            "peak_mb": peak_mb(),
        })
    );
    Ok(())
}

/// Time on processors so far, of all threads; the kernel counts in hundredths of a second.
fn processor_ms() -> f64 {
    let text = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = text.rsplit(')').next().unwrap_or_default();
    let ticks: f64 = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<f64>().ok())
        .sum();
    ticks * 10.0
}

fn peak_mb() -> f64 {
    let text = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kb: f64 = line
        .and_then(|line| line.split_whitespace().next())
        .and_then(|number| number.parse().ok())
        .unwrap_or(0.0);
    kb / 1024.0
}

fn generate(folder: &Path) -> Outcome {
    fs::create_dir_all(folder)?;
    let path = |name: &str| folder.join(name).display().to_string();
    for (name, width, height) in [
        ("photo24", 6000, 4000),
        ("photo12", 4000, 3000),
        ("photo1", 1200, 840),
        ("photo800", 800, 533),
    ] {
        write(
            &path(&format!("{name}.png")),
            &photo::photo(width, height, 7),
        )?;
    }
    let plugin = open(&folder.display().to_string())?;
    for name in ["photo24", "photo1"] {
        let (source, target) = (format!("{name}.png"), format!("{name}.jpg"));
        plugin.call(
            "resize",
            json!({ "source": source, "target": target, "quality": 88 }),
        )?;
    }
    Ok(())
}

fn read(path: &str) -> Outcome<Rgb> {
    let mut decoder = png::Decoder::new(BufReader::new(fs::File::open(path)?));
    decoder.set_transformations(png::Transformations::EXPAND | png::Transformations::STRIP_16);
    let mut reader = decoder.read_info()?;
    let mut bytes = vec![0; reader.output_buffer_size().ok_or("too large")?];
    let info = reader.next_frame(&mut bytes)?;
    let channels = info.color_type.samples();
    let bytes = match channels {
        3 => bytes,
        4 => bytes
            .chunks_exact(4)
            .flat_map(|pixel| [pixel[0], pixel[1], pixel[2]])
            .collect(),
        _ => bytes
            .chunks_exact(channels)
            .flat_map(|pixel| [pixel[0]; 3])
            .collect(),
    };
    Ok(Rgb {
        width: info.width as usize,
        height: info.height as usize,
        bytes,
    })
}

fn write(path: &str, picture: &Rgb) -> Outcome {
    let file = std::io::BufWriter::new(fs::File::create(path)?);
    let mut encoder = png::Encoder::new(file, picture.width as u32, picture.height as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_compression(png::Compression::Fast);
    encoder.write_header()?.write_image_data(&picture.bytes)?;
    Ok(())
}
