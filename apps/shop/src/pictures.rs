//! Pictures of products: as they were uploaded, and small for the storefront.
//!
//! Each version has names of its own, `products/<product>/<version>/…`, and the product's row says
//! which is the picture: so that a new one is there whole or not at all.

use std::io::Cursor;

use axum::body::Bytes;
use futures_util::{Stream, TryStreamExt};
use image::{
    DynamicImage, ImageDecoder, ImageError, ImageReader, Limits,
    codecs::{jpeg::JpegEncoder, png::PngEncoder},
};
use serde::Deserialize;
use tenantry::{
    db::TenantDb,
    policy::{Node, Permissions},
    resources::{self, Match},
    routing::{Problem, Result, files::receive},
    scoped::files::{FileError, FileName, Files, NameError},
};
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::{bare::bare, models::product::Product};

/// The most bytes that a picture has.
pub(crate) const LARGEST: u64 = 10 << 20;

/// The longest side of a picture, in pixels.
const LONGEST_SIDE: u32 = 12_000;

/// The most bytes that a picture takes in memory, while it is made small.
const MOST_MEMORY: u64 = 192 << 20;

/// The longest side of a small one, in pixels.
const SMALL_SIDE: u32 = 480;

/// The most bytes that a logo has, and its longest side.
pub(crate) const LARGEST_LOGO: u64 = 2 << 20;
const LOGO_SIDE: u32 = 512;

/// How many are made small at once.
static AT_WORK: Semaphore = Semaphore::const_new(2);

/// What a picture may be.
const KINDS: &[&str] = &["image/jpeg", "image/png", "image/webp"];

/// Which of a picture's files.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Size {
    /// As it was uploaded.
    #[default]
    Original,
    /// As lists show it.
    Small,
}

/// Where a version of a product's picture is.
pub(crate) fn name(product: Uuid, version: Uuid, size: Size) -> Result<FileName> {
    let size = match size {
        Size::Original => "original",
        Size::Small => "small",
    };
    named(format!("products/{product}/{version}/{size}"))
}

fn named(text: String) -> Result<FileName> {
    FileName::new(text).map_err(|error: NameError| Problem::internal(&error))
}

/// Takes in a picture, and makes it that of a product that whoever asks may change.
///
/// # Errors
/// 422 when it is none, or one that is too large to be shown.
pub(crate) async fn set<S, E>(
    files: Files,
    db: TenantDb,
    by: Permissions,
    product: Uuid,
    bytes: S,
) -> Result<Node<Product>>
where
    S: Stream<Item = Result<Bytes, E>> + Send + Unpin,
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let version = Uuid::now_v7();
    let original = name(product, version, Size::Original)?;
    let stored = receive(&files, &original, bytes, LARGEST).await?;
    // it is here: whoever goes away now leaves nothing half done
    let finishing = tokio::spawn(async move {
        let set = async {
            if !KINDS.contains(&stored.kind.as_str()) {
                return Err(not_one());
            }
            let drawn = small(read(&files, &original).await?, SMALL_SIDE).await?;
            // before anybody sees it
            if let Some(bare) = drawn.bare {
                put(&files, &original, bare).await?;
            }
            put(&files, &name(product, version, Size::Small)?, drawn.small).await?;
            change(&files, &db, &by, product, Some(version)).await
        };
        let set = set.await;
        if set.is_err() {
            forget(&files, product, Some(version)).await;
        }
        set
    });
    finishing.await.map_err(|error| Problem::internal(&error))?
}

/// Takes a product's picture away.
///
/// # Errors
/// When it cannot be changed.
pub(crate) async fn remove(
    files: &Files,
    db: &TenantDb,
    by: &Permissions,
    product: Uuid,
) -> Result<Node<Product>> {
    change(files, db, by, product, None).await
}

async fn change(
    files: &Files,
    db: &TenantDb,
    by: &Permissions,
    product: Uuid,
    version: Option<Uuid>,
) -> Result<Node<Product>> {
    let mut before = None;
    let apply = |object: &mut Product| before = std::mem::replace(&mut object.picture, version);
    let matching = Match::Anything;
    let node =
        resources::change::<Product>(db, by, &[product], &matching, &["picture"], apply).await?;
    if before.is_some() {
        forget(files, product, before).await;
    }
    Ok(node)
}

/// Removes the files of one version, or of all when the product is gone. What cannot be removed now
/// stays, and nothing shows it.
pub(crate) async fn forget(files: &Files, product: Uuid, version: Option<Uuid>) {
    let below = match version {
        Some(version) => format!("products/{product}/{version}"),
        None => format!("products/{product}"),
    };
    let Ok(below) = named(below) else { return };
    if let Err(error) = files.delete_below(&below).await {
        tracing::warn!(%error, %below, "a picture's files cannot be removed");
    }
}

async fn read(files: &Files, name: &FileName) -> Result<Vec<u8>> {
    let found = files.find(name).await?;
    let pieces: Vec<Bytes> = found.read(0..found.info.bytes).await?.try_collect().await?;
    Ok(pieces.concat())
}

/// Where a version of the shop's logo is.
pub(crate) fn logo(version: Uuid) -> Result<FileName> {
    named(format!("theme/logo/{version}/logo"))
}

/// Takes in a picture to be a logo. What is kept of it was drawn anew: its size is bounded, and of what
/// else was in the file nothing is left.
///
/// # Errors
/// 422 when it is none, 413 when it is too large.
pub(crate) async fn take_logo<S, E>(files: Files, bytes: S) -> Result<Uuid>
where
    S: Stream<Item = Result<Bytes, E>> + Send + Unpin,
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let version = Uuid::now_v7();
    let uploaded = named(format!("theme/logo/{version}/uploaded"))?;
    let stored = receive(&files, &uploaded, bytes, LARGEST_LOGO).await?;
    let finishing = tokio::spawn(async move {
        let made = async {
            if !KINDS.contains(&stored.kind.as_str()) {
                return Err(not_one());
            }
            let drawn = small(read(&files, &uploaded).await?, LOGO_SIDE).await?;
            put(&files, &logo(version)?, drawn.small).await?;
            files.delete(&uploaded).await?;
            Ok(version)
        };
        let made = made.await;
        if made.is_err() {
            forget_logo(&files, version).await;
        }
        made
    });
    finishing.await.map_err(|error| Problem::internal(&error))?
}

/// Whether that is a logo of this shop.
pub(crate) async fn has_logo(files: &Files, version: Uuid) -> Result<bool> {
    match files.find(&logo(version)?).await {
        Ok(_) => Ok(true),
        Err(FileError::NotFound) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Removes a logo's file. One that cannot be removed now stays, and nothing shows it.
pub(crate) async fn forget_logo(files: &Files, version: Uuid) {
    let Ok(below) = named(format!("theme/logo/{version}")) else {
        return;
    };
    if let Err(error) = files.delete_below(&below).await {
        tracing::warn!(%error, %below, "a logo's file cannot be removed");
    }
}

async fn put(files: &Files, name: &FileName, bytes: Vec<u8>) -> Result<()> {
    let pieces = futures_util::stream::iter([Ok::<_, FileError>(Bytes::from(bytes))]);
    files.put(name, pieces, LARGEST + 64).await?;
    Ok(())
}

/// What is made of a picture.
#[derive(Debug)]
struct Drawn {
    small: Vec<u8>,
    /// As it was, without what is said in it, if something was.
    bare: Option<Vec<u8>>,
}

/// Makes a picture small, on a thread that may take its time.
async fn small(picture: Vec<u8>, side: u32) -> Result<Drawn> {
    let _at_work = AT_WORK.acquire().await;
    let making = tokio::task::spawn_blocking(move || shrink(&picture, side));
    match making.await {
        Ok(Ok(small)) => Ok(small),
        Ok(Err(ImageError::Limits(_))) => Err(Problem::invalid_field(
            "picture",
            format!("has too many pixels: {LONGEST_SIDE} on a side at most"),
        )),
        Ok(Err(_)) => Err(not_one()),
        Err(error) => Err(Problem::internal(&error)),
    }
}

fn not_one() -> Problem {
    Problem::invalid_field("picture", "must be a picture: JPEG, PNG or WebP")
}

/// Of what a camera writes into it (where, when), nothing is left.
fn shrink(picture: &[u8], side: u32) -> Result<Drawn, ImageError> {
    let mut reader = ImageReader::new(Cursor::new(picture)).with_guessed_format()?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(LONGEST_SIDE);
    limits.max_image_height = Some(LONGEST_SIDE);
    limits.max_alloc = Some(MOST_MEMORY);
    reader.limits(limits.clone());
    let mut decoder = reader.into_decoder()?;
    // not every decoder counts what it returns
    limits.reserve(decoder.total_bytes())?;
    let orientation = decoder.orientation()?;
    let mut image = DynamicImage::from_decoder(decoder)?;
    if image.width().max(image.height()) > side {
        image = image.thumbnail(side, side);
    }
    image.apply_orientation(orientation);
    let mut small = Vec::new();
    if image.color().has_alpha() {
        let image = DynamicImage::from(image.into_rgba8());
        image.write_with_encoder(PngEncoder::new(&mut small))?;
    } else {
        let image = DynamicImage::from(image.into_rgb8());
        image.write_with_encoder(JpegEncoder::new_with_quality(&mut small, 82))?;
    }
    let bare = bare(picture, orientation);
    Ok(Drawn { small, bare })
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use image::{DynamicImage, ImageError, ImageFormat, RgbaImage};

    use super::{SMALL_SIDE, shrink};

    fn drawn(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        image.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    #[test]
    fn pictures_are_made_small_and_never_larger() {
        let large = DynamicImage::new_rgb8(1200, 300);
        for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP] {
            let small = shrink(&drawn(&large, format), SMALL_SIDE).unwrap().small;
            let small = image::load_from_memory(&small).unwrap();
            assert_eq!((small.width(), small.height()), (SMALL_SIDE, 120));
        }
        let tiny = DynamicImage::from(RgbaImage::new(3, 2));
        let small = shrink(&drawn(&tiny, ImageFormat::Png), SMALL_SIDE)
            .unwrap()
            .small;
        let small = image::load_from_memory(&small).unwrap();
        assert_eq!((small.width(), small.height()), (3, 2));
        assert!(small.color().has_alpha());
    }

    #[test]
    fn what_is_no_picture_or_too_large_is_refused() {
        assert!(shrink(b"\x89PNG\r\n\x1a\nno more", SMALL_SIDE).is_err());
        assert!(shrink(b"words", SMALL_SIDE).is_err());
        let wide = DynamicImage::new_luma8(12_001, 1);
        let refused = shrink(&drawn(&wide, ImageFormat::Png), SMALL_SIDE);
        assert!(matches!(refused, Err(ImageError::Limits(_))), "{refused:?}");
        // small as a file, and large in memory
        let bomb = DynamicImage::new_luma8(1, 1);
        let mut bomb = drawn(&bomb, ImageFormat::Png);
        bomb[16..24].copy_from_slice(&[0, 0, 0x2e, 0xe0, 0, 0, 0x2e, 0xe0]);
        bomb[25] = 6; // with four bytes for each pixel
        let checked = crc(&bomb[12..29]);
        bomb[29..33].copy_from_slice(&checked.to_be_bytes());
        let refused = shrink(&bomb, SMALL_SIDE);
        assert!(matches!(refused, Err(ImageError::Limits(_))), "{refused:?}");
    }

    fn crc(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(u32::MAX, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
                (crc >> 1) ^ (0xedb8_8320 & 0_u32.wrapping_sub(crc & 1))
            })
        })
    }
}
