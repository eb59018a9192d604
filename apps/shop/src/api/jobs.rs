//! What is done later: products that are imported, and how far that is.

use axum::{
    body::{Body, to_bytes},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use serde::Serialize;
use tenantry::{
    routing::{Can, Json, Path, Problem, Result},
    scoped::jobs::{Job, JobInfo, JobStatus, Queue},
    users::Audit,
};
use uuid::Uuid;

use crate::{
    access::ImportProducts as MayImport,
    jobs::{self, ImportProducts},
    validate::Errors,
};

/// How large a file may be.
const MOST: usize = 1 << 20;

#[derive(Serialize)]
pub(crate) struct JobShown {
    id: Uuid,
    status: JobStatus,
    progress: Progress,
    error: Option<String>,
    created_at: DateTime<Utc>,
    finished_at: Option<DateTime<Utc>>,
}

#[derive(Serialize)]
struct Progress {
    done: i64,
    of: Option<i64>,
    note: String,
}

impl From<JobInfo> for JobShown {
    fn from(job: JobInfo) -> Self {
        Self {
            id: job.id,
            status: job.status,
            progress: Progress {
                done: job.progress,
                of: job.progress_of,
                note: job.progress_note,
            },
            // what it said to programmers is theirs
            error: (job.status == JobStatus::Dead).then(|| "It did not succeed.".into()),
            created_at: job.created_at,
            finished_at: job.finished_at,
        }
    }
}

pub(crate) async fn import_products(
    can: Can<MayImport>,
    queue: Queue,
    headers: HeaderMap,
    body: Body,
) -> Result<Response> {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    let kind = kind
        .and_then(|kind| kind.split(';').next())
        .unwrap_or_default();
    if !kind.trim().eq_ignore_ascii_case("text/csv") {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported-media-type",
            "Products are imported from text/csv.",
        ));
    }
    let bytes = to_bytes(body, MOST).await.map_err(|_| {
        Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too-large",
            "A file may have a mebibyte; import it in parts.",
        )
    })?;
    let mut errors = Errors::default();
    let csv = String::from_utf8(bytes.into()).map_err(|_| "must be UTF-8".to_owned());
    let csv = csv.and_then(|csv| jobs::check(&csv).map(|()| csv));
    let csv = errors.check("csv", csv);
    errors.finish()?;
    let import = ImportProducts {
        csv: csv.unwrap_or_default(),
        by: can.permissions.principal().user_id(),
    };
    let mut tx = can.db.begin();
    if can.permissions.is_impersonated() {
        let event = can.permissions.by().did("products-imported");
        Audit::on(&mut tx).record(event).await?;
    }
    let enqueued = queue.enqueue(&mut tx, import).await?;
    tx.commit().await?;
    let job = queue
        .get(enqueued.id)
        .await?
        .ok_or_else(Problem::not_found)?;
    let place = format!("/api/jobs/{}", job.id);
    let mut answer = (StatusCode::ACCEPTED, Json(JobShown::from(job))).into_response();
    if let Ok(place) = HeaderValue::try_from(place) {
        answer.headers_mut().insert(header::LOCATION, place);
    }
    Ok(answer)
}

pub(crate) async fn show(
    _: Can<MayImport>,
    queue: Queue,
    Path(id): Path<Uuid>,
) -> Result<Json<JobShown>> {
    let job = queue.get(id).await?;
    let job = job.filter(|job| job.kind == ImportProducts::KIND);
    Ok(Json(job.ok_or_else(Problem::not_found)?.into()))
}
