//! Pictures without what cameras and programs write into them: where, when, by whom.
//!
//! What shows the picture stays as it is, to the bit: only the parts that say something about it are left
//! out. How it has to be turned is said anew, by itself.

use image::metadata::Orientation;

/// The picture without such parts; none where it has none of them, or is none of these kinds.
pub(crate) fn bare(picture: &[u8], turned: Orientation) -> Option<Vec<u8>> {
    let bare = if picture.starts_with(&[0xff, 0xd8]) {
        jpeg(picture, turned)
    } else if picture.starts_with(PNG) {
        png(picture, turned)
    } else {
        webp(picture, turned)
    };
    bare.filter(|bare| bare != picture)
}

/// [Exif](https://www.cipa.jp/std/documents/e/DC-X008-Translation-2019-E.pdf) that says nothing but how the
/// picture has to be turned; nothing where it has not.
fn exif(turned: Orientation) -> Option<[u8; 26]> {
    let mut exif = *b"MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\0\0\0\0\0\0\0";
    exif[19] = turned.to_exif();
    (turned != Orientation::NoTransforms).then_some(exif)
}

/// Marker by marker, to the end of the picture: what follows that is often another one.
fn jpeg(picture: &[u8], turned: Orientation) -> Option<Vec<u8>> {
    const END: u8 = 0xd9;
    const SCAN: u8 = 0xda;
    let mut bare = picture.get(..2)?.to_vec();
    if let Some(exif) = exif(turned) {
        bare.extend([0xff, 0xe1, 0, 34]);
        bare.extend(b"Exif\0\0");
        bare.extend(exif);
    }
    let mut rest = &picture[2..];
    loop {
        let at = rest.iter().position(|byte| *byte != 0xff)?;
        let marker = rest[at];
        if at == 0 {
            return None;
        }
        rest = &rest[at + 1..];
        if marker == END {
            bare.extend([0xff, END]);
            return Some(bare);
        }
        let length = usize::from(u16::from_be_bytes(rest.get(..2)?.try_into().ok()?));
        let part = rest.get(..length).filter(|_| length >= 2)?;
        rest = &rest[length..];
        // JFIF, colours (ICC) and Adobe's way of saying them; and all that is no application's
        let is_kept = match marker {
            0xe0 | 0xee => true,
            0xe2 => part[2..].starts_with(b"ICC_PROFILE\0"),
            0xe1..=0xef | 0xfe => false,
            _ => true,
        };
        if is_kept {
            bare.extend([0xff, marker]);
            bare.extend(part);
        }
        if marker == SCAN {
            // up to the next marker that is one
            let is_marker =
                |two: &[u8]| two[0] == 0xff && !matches!(two[1], 0 | 0xd0..=0xd7 | 0xff);
            let length = rest.windows(2).position(is_marker)?;
            bare.extend(&rest[..length]);
            rest = &rest[length..];
        }
    }
}

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";

fn png(picture: &[u8], turned: Orientation) -> Option<Vec<u8>> {
    // what is needed to show it, in colour
    const KEPT: [&[u8; 4]; 14] = [
        b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"cHRM", b"gAMA", b"iCCP", b"sBIT", b"sRGB",
        b"cICP", b"pHYs", b"bKGD", b"mDCV",
    ];
    let mut bare = PNG.to_vec();
    let mut rest = picture.strip_prefix(PNG)?;
    loop {
        let length = u32::from_be_bytes(rest.get(..4)?.try_into().ok()?);
        let length = usize::try_from(length).ok()?.checked_add(12)?;
        let (chunk, after) = rest.split_at_checked(length)?;
        rest = after;
        let kind = &chunk[4..8];
        if KEPT.iter().any(|kept| kept.as_slice() == kind) {
            bare.extend(chunk);
        }
        if kind == b"IHDR"
            && let Some(exif) = exif(turned)
        {
            let said = [b"eXIf".as_slice(), &exif].concat();
            bare.extend(26_u32.to_be_bytes());
            bare.extend(&said);
            bare.extend(crc(&said).to_be_bytes());
        }
        if kind == b"IEND" {
            return Some(bare);
        }
    }
}

fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & 0_u32.wrapping_sub(crc & 1))
        })
    })
}

fn webp(picture: &[u8], turned: Orientation) -> Option<Vec<u8>> {
    const KEPT: [&[u8; 4]; 7] = [
        b"VP8X", b"VP8 ", b"VP8L", b"ALPH", b"ICCP", b"ANIM", b"ANMF",
    ];
    // in the flags of an extended file: that there is Exif, and XMP
    const HAS_EXIF: u8 = 0b1000;
    const HAS_XMP: u8 = 0b100;
    let whole = u32::from_le_bytes(picture.get(4..8)?.try_into().ok()?);
    let end = usize::try_from(whole).ok()?.checked_add(8)?;
    let mut rest = picture.get(..end)?.get(12..)?;
    if !picture.starts_with(b"RIFF") || &picture[8..12] != b"WEBP" {
        return None;
    }
    let turned = exif(turned);
    let mut bare = b"RIFF\0\0\0\0WEBP".to_vec();
    let mut is_extended = false;
    while !rest.is_empty() {
        let length = u32::from_le_bytes(rest.get(4..8)?.try_into().ok()?);
        let length = usize::try_from(length).ok()?.checked_add(8)?;
        let chunk = rest.get(..length)?;
        rest = rest.get(length + length % 2..).unwrap_or_default();
        let kind = &chunk[..4];
        if !KEPT.iter().any(|kept| kept.as_slice() == kind) {
            continue;
        }
        let at = bare.len();
        bare.extend(chunk);
        bare.resize(bare.len().next_multiple_of(2), 0);
        if kind == b"VP8X" {
            is_extended = true;
            let flags = bare.get_mut(at + 8)?;
            *flags &= !(HAS_EXIF | HAS_XMP);
            *flags |= if turned.is_some() { HAS_EXIF } else { 0 };
        }
    }
    if let Some(exif) = turned.filter(|_| is_extended) {
        bare.extend(b"EXIF");
        bare.extend(26_u32.to_le_bytes());
        bare.extend(exif);
    }
    let length = u32::try_from(bare.len() - 8).ok()?;
    bare[4..8].copy_from_slice(&length.to_le_bytes());
    Some(bare)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, RgbImage};

    use super::*;

    const SECRET: &[u8] = b"52.5200 N, 13.4050 E, of Ann";

    fn drawn(format: ImageFormat) -> Vec<u8> {
        let image = RgbImage::from_fn(40, 20, |x, y| {
            image::Rgb([x, y, x ^ y].map(|shade| u8::try_from(shade * 3).unwrap()))
        });
        let mut bytes = Cursor::new(Vec::new());
        DynamicImage::from(image)
            .write_to(&mut bytes, format)
            .unwrap();
        bytes.into_inner()
    }

    fn turned_by(picture: &[u8]) -> Orientation {
        let reader = ImageReader::new(Cursor::new(picture)).with_guessed_format();
        let mut decoder = reader.unwrap().into_decoder().unwrap();
        decoder.orientation().unwrap()
    }

    fn is_the_same(bare: &[u8], picture: &[u8]) {
        let pixels = |bytes| image::load_from_memory(bytes).unwrap().into_rgb8();
        assert_eq!(pixels(bare), pixels(picture));
        let has = |bytes: &[u8]| bytes.windows(SECRET.len()).any(|some| some == SECRET);
        assert!(has(picture) && !has(bare));
    }

    #[test]
    fn what_says_nothing_stays_as_it_is() {
        for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP] {
            assert_eq!(
                bare(&drawn(format), Orientation::NoTransforms),
                None,
                "{format:?}"
            );
        }
        for none in [
            b"".as_slice(),
            b"words",
            b"\xff\xd8",
            b"\xff\xd8\xff\xe1\0",
            PNG,
            b"RIFF\xff\xff\xff\xffWEBP",
        ] {
            assert_eq!(bare(none, Orientation::Rotate90), None);
        }
    }

    #[test]
    fn a_jpeg_keeps_how_it_is_turned_and_nothing_of_where() {
        let plain = drawn(ImageFormat::Jpeg);
        let mut exif_part = b"Exif\0\0".to_vec();
        exif_part.extend(exif(Orientation::Rotate90).unwrap());
        exif_part.extend(SECRET);
        let part = |marker: u8, said: &[u8]| {
            let length = u16::try_from(said.len() + 2).unwrap().to_be_bytes();
            [&[0xff, marker], length.as_slice(), said].concat()
        };
        let xmp = [b"http://ns.adobe.com/xap/1.0/\0".as_slice(), SECRET].concat();
        let colours = b"ICC_PROFILE\0\x01\x01 of colours";
        let picture = [
            &plain[..2],
            &part(0xe1, &exif_part),
            &part(0xe1, &xmp),
            &part(0xed, SECRET),
            &part(0xfe, SECRET),
            &part(0xe2, colours),
            &plain[2..],
            // another picture behind it
            &part(0xe1, SECRET),
        ];
        let picture = picture.concat();
        assert_eq!(turned_by(&picture), Orientation::Rotate90);
        let bare = bare(&picture, Orientation::Rotate90).unwrap();
        is_the_same(&bare, &picture);
        assert_eq!(turned_by(&bare), Orientation::Rotate90);
        assert!(bare.windows(colours.len()).any(|some| some == colours));
        // and once is enough
        assert_eq!(super::bare(&bare, Orientation::Rotate90), None);
    }

    #[test]
    fn a_png_and_a_webp_lose_their_words() {
        let plain = drawn(ImageFormat::Png);
        let said = [b"tEXtLocation\0".as_slice(), SECRET].concat();
        let length = u32::try_from(said.len() - 4).unwrap().to_be_bytes();
        let words = [length.as_slice(), &said, &crc(&said).to_be_bytes()].concat();
        let picture = [&plain[..33], &words, &plain[33..], SECRET].concat();
        let bare = super::bare(&picture, Orientation::NoTransforms).unwrap();
        is_the_same(&bare, &picture);
        assert_eq!(bare, plain);
        let turned = super::bare(&picture, Orientation::Rotate180).unwrap();
        assert_eq!(turned_by(&turned), Orientation::Rotate180);

        let plain = drawn(ImageFormat::WebP);
        let chunk = |kind: &[u8; 4], said: &[u8]| {
            let length = u32::try_from(said.len()).unwrap().to_le_bytes();
            let mut chunk = [kind.as_slice(), &length, said].concat();
            chunk.resize(chunk.len().next_multiple_of(2), 0);
            chunk
        };
        let head = [0b1100, 0, 0, 0, 39, 0, 0, 19, 0, 0];
        let mut exif_part = exif(Orientation::Rotate90).unwrap().to_vec();
        exif_part.extend(SECRET);
        let parts = [
            chunk(b"VP8X", &head),
            plain[12..].to_vec(),
            chunk(b"EXIF", &exif_part),
            chunk(b"XMP ", SECRET),
        ];
        let parts = parts.concat();
        let length = u32::try_from(parts.len() + 4).unwrap().to_le_bytes();
        let picture = [b"RIFF".as_slice(), &length, b"WEBP", &parts].concat();
        let bare = super::bare(&picture, Orientation::Rotate90).unwrap();
        is_the_same(&bare, &picture);
        assert_eq!(turned_by(&bare), Orientation::Rotate90);
        let still = super::bare(&picture, Orientation::NoTransforms).unwrap();
        assert!(!still.windows(4).any(|kind| kind == b"EXIF"));
    }
}
