//! WebP by libwebp: lossy files as planes, everything else as pixels; animations frame by frame.
#![expect(unsafe_code, reason = "libwebp is a C library")]

use std::{
    borrow::Cow,
    ffi::{c_int, c_void},
    marker::PhantomData,
    mem::MaybeUninit,
    ptr, slice,
};

use libwebp_sys as webp;
use plugin_api::Task;

use crate::{
    args::Format,
    codec::{DecodeOptions, Header, Layout, Plane, Sink},
    color::{self, Space},
    colorimetry::Colorimetry,
    error::{Result, Trouble},
    metadata::{Attached, ICC_LEN_MAX},
    pixels::{Kind, Picture, Pixels},
};

/// How many bytes of a file to decode between two looks at the task.
const PORTION: usize = 32 << 10;
/// Longer sides don't fit into the format.
pub(crate) const SIDE_MAX: usize = 16_383;

const ALPHA: u8 = 0x10;
const ICC: u8 = 0x20;
const EXIF: u8 = 0x08;
const XMP: u8 = 0x04;

/// The chunks of a file, as far as they are whole.
struct Chunks<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Chunks<'a> {
    type Item = ([u8; 4], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (name, rest) = self.rest.split_first_chunk::<4>()?;
        let (len, rest) = rest.split_first_chunk::<4>()?;
        let len = usize::try_from(u32::from_le_bytes(*len)).ok()?;
        let body = rest.get(..len)?;
        self.rest = rest.get(len + len % 2..).unwrap_or_default();
        Some((*name, body))
    }
}

fn chunks(data: &[u8]) -> Chunks<'_> {
    Chunks {
        rest: data.get(12..).unwrap_or_default(),
    }
}

pub(crate) fn header(data: &[u8]) -> Result<Header> {
    let mut features = MaybeUninit::zeroed();
    // SAFETY: pointer and length are the slice's, and the features are plain numbers.
    let (status, features) = unsafe {
        let status = webp::WebPGetFeatures(data.as_ptr(), data.len(), features.as_mut_ptr());
        (status, features.assume_init())
    };
    check(status)?;
    let (width, height) = (to_len(features.width), to_len(features.height));
    if width == 0 || height == 0 {
        return Err(Trouble::broken("WebP", "it has no pixels"));
    }
    // What is missing may be no more than metadata, but who knows what the rest would be.
    let is_cut = data.get(4..8).is_some_and(|len| match *len {
        [a, b, c, d] => u64::from(u32::from_le_bytes([a, b, c, d])) + 8 > data.len() as u64,
        _ => true,
    });
    let mut attached = Attached::default();
    let mut frames = 0;
    let mut is_lossless = features.format == 2;
    for (name, body) in chunks(data) {
        match &name {
            b"ICCP" if body.len() <= ICC_LEN_MAX => attached.icc = Some(body.to_vec()),
            b"EXIF" => {
                let body = body.strip_prefix(b"Exif\0\0").unwrap_or(body);
                attached.exif = Some(body.to_vec());
            }
            b"XMP " => attached.xmp = Some(body.to_vec()),
            b"ANMF" => frames += 1,
            b"VP8L" => is_lossless = true,
            _ => {}
        }
    }
    if features.has_animation != 0 && frames == 0 {
        return Err(Trouble::broken("WebP", "it is an animation without frames"));
    }
    Ok(Header {
        format: Format::Webp,
        width,
        height,
        space: if is_lossless {
            Space::Rgb
        } else {
            Space::YCbCr
        },
        bit_depth: 8,
        has_alpha: features.has_alpha != 0,
        frames: if features.has_animation != 0 {
            frames
        } else {
            1
        },
        is_cut,
        is_progressive: false,
        colorimetry: Colorimetry::of_icc(attached.icc.take()),
        attached,
        container_orientation: None,
        is_lossless,
    })
}

fn is_animation(data: &[u8]) -> bool {
    chunks(data).any(|(name, _)| name == *b"ANMF")
}

fn check(status: webp::VP8StatusCode) -> Result<()> {
    use webp::VP8StatusCode as Status;
    match status {
        Status::VP8_STATUS_OK => Ok(()),
        Status::VP8_STATUS_OUT_OF_MEMORY => Err(Trouble::no_memory("decode the image")),
        Status::VP8_STATUS_NOT_ENOUGH_DATA | Status::VP8_STATUS_SUSPENDED => {
            Err(Trouble::broken("WebP", "it ends too early"))
        }
        Status::VP8_STATUS_UNSUPPORTED_FEATURE => Err(Trouble::unsupported("WebP", "this feature")),
        _ => Err(Trouble::broken("WebP", "its data is damaged")),
    }
}

fn to_len(value: c_int) -> usize {
    usize::try_from(value).unwrap_or(0)
}

fn to_int(value: usize) -> c_int {
    c_int::try_from(value).unwrap_or(c_int::MAX)
}

pub(crate) fn memory(header: &Header) -> u64 {
    let pixels = header.pixels();
    if header.frames > 1 {
        // Two canvases, and a frame of either kind.
        return pixels * 16;
    }
    match (header.is_lossless, header.has_alpha) {
        (false, false) => pixels * 3 / 2 + (1 << 20),
        (false, true) => pixels * 6,
        (true, _) => pixels * 8 + (1 << 20),
    }
}

/// A decoder that writes into buffers of the caller.
struct Incremental<'a> {
    raw: *mut webp::WebPIDecoder,
    borrows: PhantomData<&'a mut [u8]>,
}

impl Drop for Incremental<'_> {
    fn drop(&mut self) {
        // SAFETY: it is deleted only here; null is fine.
        unsafe { webp::WebPIDelete(self.raw) };
    }
}

impl Incremental<'_> {
    /// Decodes all of it, or with `shows_damage` as much as there is, if that is any.
    fn run(&self, data: &[u8], shows_damage: bool, task: &Task) -> Result<()> {
        let mut end = 0;
        loop {
            task.check()?;
            end = (end + PORTION).min(data.len());
            // SAFETY: the data stays where it is from call to call.
            let status = unsafe { webp::WebPIUpdate(self.raw, data.as_ptr(), end) };
            if status != webp::VP8StatusCode::VP8_STATUS_SUSPENDED || end == data.len() {
                return check(status).or_else(|trouble| {
                    if shows_damage && self.has_rows() {
                        tracing::debug!(?status, "the rest of the rows is left empty");
                        return Ok(());
                    }
                    Err(trouble)
                });
            }
        }
    }

    fn has_rows(&self) -> bool {
        let mut rows = 0;
        let none = ptr::null_mut();
        // SAFETY: the decoder is open, and what isn't asked for may be null.
        unsafe { webp::WebPIDecodedArea(self.raw, none, none, none, &raw mut rows) };
        rows > 0
    }
}

pub(crate) fn decode(
    header: &Header,
    data: &[u8],
    options: &DecodeOptions,
    sink: &mut dyn Sink,
    task: &Task,
) -> Result<()> {
    if is_animation(data) {
        let mut frames = Frames::open(header, data)?;
        let Some(frame) = frames.next(task)? else {
            return Err(Trouble::broken("WebP", "it has no frames"));
        };
        return push_frame(&frame.pixels, sink);
    }
    if !header.is_lossless && !header.has_alpha && !options.is_packed {
        return decode_planes(header, data, options, sink, task);
    }
    let kind = Kind::of(if header.has_alpha { 4 } else { 3 }, false);
    let (width, height) = (header.width, header.height);
    let mut pixels = Pixels::new(width, height, kind)?;
    let stride = pixels.stride();
    let mode = if header.has_alpha {
        webp::WEBP_CSP_MODE::MODE_RGBA
    } else {
        webp::WEBP_CSP_MODE::MODE_RGB
    };
    let bytes = pixels.bytes_mut();
    // SAFETY: the buffer has that length, and outlives the decoder.
    let raw = unsafe { webp::WebPINewRGB(mode, bytes.as_mut_ptr(), bytes.len(), to_int(stride)) };
    run(raw, data, options, task)?;
    sink.begin(&Layout::Packed {
        kind,
        width,
        height,
        factor: 1.0,
        space: Space::Rgb,
    })?;
    push_slowly(&pixels, 0, sink, task)
}

fn run(
    raw: *mut webp::WebPIDecoder,
    data: &[u8],
    options: &DecodeOptions,
    task: &Task,
) -> Result<()> {
    if raw.is_null() {
        return Err(Trouble::no_memory("decode the image"));
    }
    Incremental {
        raw,
        borrows: PhantomData,
    }
    .run(data, options.shows_damage, task)
}

/// Rows in portions, so that scaling stops as well when the task does.
fn push_slowly(pixels: &Pixels, plane: usize, sink: &mut dyn Sink, task: &Task) -> Result<()> {
    let stride = pixels.stride();
    for rows in pixels.bytes().chunks(stride * (1 + (1 << 20) / stride)) {
        task.check()?;
        sink.rows(plane, rows)?;
    }
    Ok(())
}

fn decode_planes(
    header: &Header,
    data: &[u8],
    options: &DecodeOptions,
    sink: &mut dyn Sink,
    task: &Task,
) -> Result<()> {
    let (width, height) = (header.width, header.height);
    let half = (width.div_ceil(2), height.div_ceil(2));
    let kind = Kind::of(1, false);
    let mut luma = Pixels::new(width, height, kind)?;
    let mut blue = Pixels::new(half.0, half.1, kind)?;
    let mut red = Pixels::new(half.0, half.1, kind)?;
    // Black, where a damaged file has nothing.
    luma.bytes_mut().fill(16);
    blue.bytes_mut().fill(128);
    red.bytes_mut().fill(128);
    let (y, u, v) = (luma.bytes_mut(), blue.bytes_mut(), red.bytes_mut());
    // SAFETY: the buffers have these lengths, and outlive the decoder.
    let raw = unsafe {
        webp::WebPINewYUV(
            y.as_mut_ptr(),
            y.len(),
            to_int(width),
            u.as_mut_ptr(),
            u.len(),
            to_int(half.0),
            v.as_mut_ptr(),
            v.len(),
            to_int(half.0),
        )
    };
    run(raw, data, options, task)?;
    let chroma = Plane {
        width: half.0,
        height: half.1,
        factor: (0.5, 0.5),
    };
    let planes = vec![
        Plane {
            width,
            height,
            factor: (1.0, 1.0),
        },
        chroma,
        chroma,
    ];
    sink.begin(&Layout::Planes {
        planes,
        is_full_range: false,
    })?;
    for (index, plane) in [luma, blue, red].iter().enumerate() {
        push_slowly(plane, index, sink, task)?;
    }
    Ok(())
}

pub(crate) fn push_frame(pixels: &Pixels, sink: &mut dyn Sink) -> Result<()> {
    let (width, height) = (pixels.width, pixels.height);
    sink.begin(&Layout::Packed {
        kind: pixels.kind,
        width,
        height,
        factor: 1.0,
        space: Space::Rgb,
    })?;
    sink.rows(0, pixels.bytes())
}

/// A file of those chunks that are whole.
fn whole_part(data: &[u8]) -> Result<Vec<u8>> {
    let mut contents = Vec::new();
    for (name, body) in chunks(data) {
        write_chunk(&mut contents, &name, body)?;
    }
    riff(&contents)
}

/// A frame of an animation: the whole canvas, and how long it shows.
pub(crate) struct Frame {
    pub(crate) pixels: Pixels,
    pub(crate) duration_ms: u32,
}

/// The frames of an animation.
pub(crate) struct Frames<'a> {
    raw: *mut webp::WebPAnimDecoder,
    size: (usize, usize),
    last_ms: c_int,
    /// What is decoded, until `raw` is gone.
    _data: Cow<'a, [u8]>,
}

impl Drop for Frames<'_> {
    fn drop(&mut self) {
        // SAFETY: it is deleted only here; null is fine.
        unsafe { webp::WebPAnimDecoderDelete(self.raw) };
    }
}

impl<'a> Frames<'a> {
    pub(crate) fn open(header: &Header, data: &'a [u8]) -> Result<Self> {
        let data = if header.is_cut {
            Cow::Owned(whole_part(data)?)
        } else {
            Cow::Borrowed(data)
        };
        let source = webp::WebPData {
            bytes: data.as_ptr(),
            size: data.len(),
        };
        let mut options = MaybeUninit::zeroed();
        // SAFETY: the options are plain numbers, initialised by the library; the data outlives the decoder.
        let raw = unsafe {
            if webp::WebPAnimDecoderOptionsInit(options.as_mut_ptr()) == 0 {
                return Err(Trouble::broken("WebP", "the library is of another version"));
            }
            let mut options = options.assume_init();
            options.color_mode = webp::WEBP_CSP_MODE::MODE_RGBA;
            options.use_threads = 0;
            webp::WebPAnimDecoderNew(&raw const source, &raw const options)
        };
        if raw.is_null() {
            return Err(Trouble::broken(
                "WebP",
                "its animation is damaged, or ends too early",
            ));
        }
        Ok(Self {
            raw,
            size: (header.width, header.height),
            last_ms: 0,
            _data: data,
        })
    }

    /// How often it plays; 0 is for ever.
    pub(crate) fn loops(&self) -> u16 {
        let mut info = webp::WebPAnimInfo::default();
        // SAFETY: the decoder is open.
        unsafe { webp::WebPAnimDecoderGetInfo(self.raw, &raw mut info) };
        u16::try_from(info.loop_count).unwrap_or(0)
    }

    pub(crate) fn next(&mut self, task: &Task) -> Result<Option<Frame>> {
        task.check()?;
        // SAFETY: the decoder is open.
        if unsafe { webp::WebPAnimDecoderHasMoreFrames(self.raw) } == 0 {
            return Ok(None);
        }
        let (mut canvas, mut end_ms) = (ptr::null_mut(), 0);
        // SAFETY: the decoder is open.
        if unsafe { webp::WebPAnimDecoderGetNext(self.raw, &raw mut canvas, &raw mut end_ms) } == 0
        {
            return Err(Trouble::broken(
                "WebP",
                "a frame is damaged, or ends too early",
            ));
        }
        let mut info = webp::WebPAnimInfo::default();
        // SAFETY: the decoder is open.
        unsafe { webp::WebPAnimDecoderGetInfo(self.raw, &raw mut info) };
        let size = (info.canvas_width as usize, info.canvas_height as usize);
        if size != self.size || canvas.is_null() {
            return Err(Trouble::broken("WebP", "its sizes contradict each other"));
        }
        let mut pixels = Pixels::new(size.0, size.1, Kind::of(4, false))?;
        let len = pixels.bytes().len();
        // SAFETY: the canvas has four bytes for each of its pixels, until the next frame is asked for.
        pixels
            .bytes_mut()
            .copy_from_slice(unsafe { slice::from_raw_parts(canvas, len) });
        let duration_ms = u32::try_from(end_ms.saturating_sub(self.last_ms)).unwrap_or(0);
        self.last_ms = end_ms;
        Ok(Some(Frame {
            pixels,
            duration_ms,
        }))
    }
}

/// What the library asks now and then: whether to go on.
///
/// # Safety
/// `picture.user_data` is a `&Task` that outlives the call.
unsafe extern "C" fn goes_on(_percent: c_int, picture: *const webp::WebPPicture) -> c_int {
    // SAFETY: the caller's promise.
    let task = unsafe { &*(*picture).user_data.cast::<Task>() };
    c_int::from(!task.is_cancelled())
}

/// 1 to 100, and 101 for lossless.
fn config(quality: u8) -> Result<webp::WebPConfig> {
    let mut config = webp::WebPConfig::new()
        .map_err(|()| Trouble::encoding("WebP", "the library is of another version"))?;
    config.method = 4;
    if quality > 100 {
        config.lossless = 1;
        config.quality = 75.0;
    } else {
        config.quality = f32::from(quality);
    }
    Ok(config)
}

/// A picture for the encoder, with what it allocated and what it wrote.
struct Canvas {
    picture: webp::WebPPicture,
    writer: Box<webp::WebPMemoryWriter>,
}

impl Drop for Canvas {
    fn drop(&mut self) {
        // SAFETY: both were initialised; planes of the caller are not the picture's, and stay.
        unsafe {
            webp::WebPPictureFree(&raw mut self.picture);
            webp::WebPMemoryWriterClear(&raw mut *self.writer);
        }
    }
}

impl Canvas {
    fn new((width, height): (usize, usize), task: &Task) -> Result<Self> {
        let mut picture = webp::WebPPicture::new()
            .map_err(|()| Trouble::encoding("WebP", "the library is of another version"))?;
        let mut writer = Box::new(MaybeUninit::<webp::WebPMemoryWriter>::zeroed());
        // SAFETY: the writer is plain data, initialised here.
        let mut writer = unsafe {
            webp::WebPMemoryWriterInit(writer.as_mut_ptr());
            writer.assume_init()
        };
        picture.width = to_int(width);
        picture.height = to_int(height);
        picture.writer = Some(webp::WebPMemoryWrite);
        picture.custom_ptr = (&raw mut *writer).cast();
        picture.progress_hook = Some(goes_on);
        picture.user_data = ptr::from_ref(task).cast_mut().cast::<c_void>();
        Ok(Self { picture, writer })
    }

    /// Copies RGB or RGBA.
    fn import(&mut self, pixels: &Pixels, is_lossless: bool) -> Result<()> {
        self.picture.use_argb = c_int::from(is_lossless);
        let (bytes, stride) = (pixels.bytes().as_ptr(), to_int(pixels.stride()));
        // SAFETY: there are as many rows of that stride as the picture's size says.
        let is_done = unsafe {
            if pixels.kind.channels == 4 {
                webp::WebPPictureImportRGBA(&raw mut self.picture, bytes, stride)
            } else {
                webp::WebPPictureImportRGB(&raw mut self.picture, bytes, stride)
            }
        };
        if is_done == 0 {
            Err(Trouble::no_memory("encode the image"))
        } else {
            Ok(())
        }
    }

    fn trouble(&self, task: &Task) -> Trouble {
        use webp::WebPEncodingError as Error;
        match self.picture.error_code {
            Error::VP8_ENC_ERROR_USER_ABORT => match task.check() {
                Err(error) => Trouble::Stopped(error),
                Ok(()) => Trouble::encoding("WebP", "it was stopped"),
            },
            Error::VP8_ENC_ERROR_OUT_OF_MEMORY | Error::VP8_ENC_ERROR_BITSTREAM_OUT_OF_MEMORY => {
                Trouble::no_memory("encode the image")
            }
            Error::VP8_ENC_ERROR_PARTITION0_OVERFLOW | Error::VP8_ENC_ERROR_PARTITION_OVERFLOW => {
                Trouble::encoding("WebP", "it has more detail than the format takes")
            }
            Error::VP8_ENC_ERROR_BAD_DIMENSION | Error::VP8_ENC_ERROR_FILE_TOO_BIG => {
                Trouble::encoding("WebP", "it is larger than the format takes")
            }
            _ => Trouble::encoding("WebP", "libwebp refuses the picture"),
        }
    }
}

pub(crate) fn encode(
    picture: &Picture,
    quality: u8,
    attached: &Attached,
    task: &Task,
) -> Result<Vec<u8>> {
    let config = config(quality)?;
    let mut limited = Vec::new();
    let mut canvas = match picture {
        Picture::Packed(pixels) => {
            let mut canvas = Canvas::new((pixels.width, pixels.height), task)?;
            canvas.import(pixels, quality > 100)?;
            canvas
        }
        Picture::Planes(planes) => {
            limited = limit(planes)?;
            let [luma, blue, red] = limited.as_mut_slice() else {
                return Err(Trouble::encoding("WebP", "there are no colours"));
            };
            let mut canvas = Canvas::new((luma.width, luma.height), task)?;
            let picture = &mut canvas.picture;
            picture.use_argb = 0;
            picture.colorspace = webp::WebPEncCSP::WEBP_YUV420;
            picture.y_stride = to_int(luma.width);
            picture.uv_stride = to_int(blue.width);
            picture.y = luma.bytes_mut().as_mut_ptr();
            picture.u = blue.bytes_mut().as_mut_ptr();
            picture.v = red.bytes_mut().as_mut_ptr();
            canvas
        }
    };
    // SAFETY: the picture is complete, and its planes outlive the call.
    let is_done = unsafe { webp::WebPEncode(&raw const config, &raw mut canvas.picture) };
    if is_done == 0 {
        return Err(canvas.trouble(task));
    }
    // SAFETY: the writer owns that many bytes there.
    let file = unsafe { slice::from_raw_parts(canvas.writer.mem, canvas.writer.size) };
    let size = (to_len(canvas.picture.width), to_len(canvas.picture.height));
    drop(limited);
    attach(file, attached, size)
}

/// The planes in WebP's range, with chroma where there is none.
fn limit(planes: &[Pixels]) -> Result<Vec<Pixels>> {
    let ranges = &*color::TO_LIMITED;
    let mut limited = planes.to_vec();
    for (index, plane) in limited.iter_mut().enumerate() {
        let table = if index == 0 {
            &ranges.luma
        } else {
            &ranges.chroma
        };
        for sample in plane.bytes_mut() {
            *sample = table[usize::from(*sample)];
        }
    }
    if let [luma] = limited.as_slice() {
        let half = (luma.width.div_ceil(2), luma.height.div_ceil(2));
        let mut neutral = Pixels::new(half.0, half.1, luma.kind)?;
        neutral.bytes_mut().fill(128);
        limited.push(neutral.clone());
        limited.push(neutral);
    }
    Ok(limited)
}

/// Puts profile, EXIF and XMP into a finished file.
fn attach(file: &[u8], attached: &Attached, (width, height): (usize, usize)) -> Result<Vec<u8>> {
    if (&attached.icc, &attached.exif, &attached.xmp) == (&None, &None, &None) {
        return Ok(file.to_vec());
    }
    let mut flags = 0;
    let mut image = Vec::new();
    for (name, body) in chunks(file) {
        match &name {
            b"VP8X" => flags |= body.first().copied().unwrap_or(0),
            b"VP8L" => {
                // The bit that says whether there is alpha, after the signature and two sizes.
                if body.get(4).is_some_and(|byte| byte & 0x10 != 0) {
                    flags |= ALPHA;
                }
                write_chunk(&mut image, &name, body)?;
            }
            _ => write_chunk(&mut image, &name, body)?,
        }
    }
    let mut contents = Vec::new();
    for (part, flag) in [
        (&attached.icc, ICC),
        (&attached.exif, EXIF),
        (&attached.xmp, XMP),
    ] {
        if part.is_some() {
            flags |= flag;
        }
    }
    let side = |len: usize| {
        let [a, b, c, _] = crate::scale::to_u32(len.saturating_sub(1)).to_le_bytes();
        [a, b, c]
    };
    let [w0, w1, w2] = side(width);
    let [h0, h1, h2] = side(height);
    write_chunk(
        &mut contents,
        b"VP8X",
        &[flags, 0, 0, 0, w0, w1, w2, h0, h1, h2],
    )?;
    if let Some(icc) = &attached.icc {
        write_chunk(&mut contents, b"ICCP", icc)?;
    }
    contents.extend_from_slice(&image);
    if let Some(exif) = &attached.exif {
        write_chunk(&mut contents, b"EXIF", exif)?;
    }
    if let Some(xmp) = &attached.xmp {
        write_chunk(&mut contents, b"XMP ", xmp)?;
    }
    riff(&contents)
}

/// A file of these chunks.
fn riff(chunks: &[u8]) -> Result<Vec<u8>> {
    let len = u32::try_from(chunks.len() + 4)
        .map_err(|_| Trouble::encoding("WebP", "it would be longer than 4 GiB"))?;
    Ok([b"RIFF", &len.to_le_bytes(), b"WEBP".as_slice(), chunks].concat())
}

fn write_chunk(out: &mut Vec<u8>, name: &[u8; 4], body: &[u8]) -> Result<()> {
    let len = u32::try_from(body.len())
        .map_err(|_| Trouble::encoding("WebP", "a part would be longer than 4 GiB"))?;
    out.extend_from_slice(name);
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(body);
    if body.len() % 2 == 1 {
        out.push(0);
    }
    Ok(())
}

/// Writes an animation.
pub(crate) struct Animation {
    raw: *mut webp::WebPAnimEncoder,
    config: webp::WebPConfig,
    size: (usize, usize),
    now_ms: c_int,
}

impl Drop for Animation {
    fn drop(&mut self) {
        // SAFETY: it is deleted only here; null is fine.
        unsafe { webp::WebPAnimEncoderDelete(self.raw) };
    }
}

impl Animation {
    pub(crate) fn new(size: (usize, usize), loops: u16, quality: u8) -> Result<Self> {
        let version = c_int::try_from(webp::WebPGetMuxABIVersion()).unwrap_or(0);
        let mut options = MaybeUninit::zeroed();
        // SAFETY: the options are plain numbers, initialised by the library.
        let raw = unsafe {
            if webp::WebPAnimEncoderOptionsInitInternal(options.as_mut_ptr(), version) == 0 {
                return Err(Trouble::encoding(
                    "WebP",
                    "the library is of another version",
                ));
            }
            let mut options = options.assume_init();
            options.anim_params.loop_count = c_int::from(loops);
            webp::WebPAnimEncoderNewInternal(
                to_int(size.0),
                to_int(size.1),
                &raw const options,
                version,
            )
        };
        if raw.is_null() {
            return Err(Trouble::no_memory("encode the animation"));
        }
        Ok(Self {
            raw,
            config: config(quality)?,
            size,
            now_ms: 0,
        })
    }

    pub(crate) fn add(&mut self, pixels: &Pixels, duration_ms: u32, task: &Task) -> Result<()> {
        task.check()?;
        let mut canvas = Canvas::new(self.size, task)?;
        canvas.import(pixels, true)?;
        // SAFETY: encoder and picture are complete, and the picture has the encoder's size.
        let is_done = unsafe {
            webp::WebPAnimEncoderAdd(
                self.raw,
                &raw mut canvas.picture,
                self.now_ms,
                &raw const self.config,
            )
        };
        if is_done == 0 {
            return Err(canvas.trouble(task));
        }
        let duration_ms = c_int::try_from(duration_ms).unwrap_or(c_int::MAX);
        self.now_ms = self.now_ms.saturating_add(duration_ms);
        Ok(())
    }

    /// The file, and how many frames it has: those that look alike become one.
    pub(crate) fn finish(self, attached: &Attached) -> Result<(Vec<u8>, usize)> {
        let mut data = webp::WebPData::default();
        // SAFETY: the last call tells when the last frame ends; the encoder is open.
        let is_done = unsafe {
            webp::WebPAnimEncoderAdd(self.raw, ptr::null_mut(), self.now_ms, ptr::null()) != 0
                && webp::WebPAnimEncoderAssemble(self.raw, &raw mut data) != 0
        };
        if !is_done {
            return Err(Trouble::encoding(
                "WebP",
                "the animation can't be put together",
            ));
        }
        // SAFETY: the library allocated that many bytes, which are freed below.
        let file = unsafe { slice::from_raw_parts(data.bytes, data.size) };
        let frames = chunks(file).filter(|(name, _)| name == b"ANMF").count();
        let file = attach(file, attached, self.size);
        // SAFETY: as above.
        unsafe { webp::WebPDataClear(&mut data) };
        Ok((file?, frames.max(1)))
    }
}
