//! Pictures to upload.

use std::io::Cursor;

use image::{DynamicImage, ImageFormat, Rgb, RgbImage};

use super::Payload;

fn drawn(width: u32, height: u32, format: ImageFormat) -> Vec<u8> {
    let image = RgbImage::from_fn(width, height, |x, y| {
        let shade = |n: u32| u8::try_from(n % 256).unwrap();
        Rgb([shade(x), shade(y), shade(x ^ y)])
    });
    let mut bytes = Cursor::new(Vec::new());
    let image = DynamicImage::from(image);
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// A PNG of that many pixels.
pub(crate) fn png(width: u32, height: u32) -> Vec<u8> {
    drawn(width, height, ImageFormat::Png)
}

/// A JPEG of that many pixels.
pub(crate) fn jpeg(width: u32, height: u32) -> Vec<u8> {
    drawn(width, height, ImageFormat::Jpeg)
}

/// A form with a file in it, as browsers post it.
pub(crate) fn form_with_picture(picture: &[u8]) -> Payload {
    let head = "--line\r\nContent-Disposition: form-data; name=\"picture\"; filename=\"a.png\"\r\n\
                Content-Type: text/plain\r\n\r\n";
    let body = [head.as_bytes(), picture, b"\r\n--line--\r\n"].concat();
    Payload::Bytes("multipart/form-data; boundary=line", body)
}
