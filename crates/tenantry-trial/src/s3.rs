use std::{
    collections::BTreeSet,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
};

use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use s3s::{
    S3, S3Request, S3Response, S3Result, auth::SimpleAuth, dto::*, s3_error,
    service::S3ServiceBuilder,
};
use s3s_fs::FileSystem;
use tempfile::TempDir;
use tenantry::{scoped::files::FileStore, testing::FilesElsewhere};
use tokio::{net::TcpListener, runtime, sync::oneshot};

const KEY: &str = "AKIATRIAL";
const SECRET: &str = "a-secret-of-nobody";
const BUCKET: &str = "trial";

/// A server that speaks S3, with a bucket in a folder of its own. It ends with its handle.
#[derive(Debug)]
pub struct S3Server {
    folder: Arc<TempDir>,
    address: SocketAddr,
    _end: oneshot::Sender<()>,
}

impl S3Server {
    /// Starts it, on any port of this machine alone.
    #[must_use]
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join(BUCKET)).unwrap();
        let mut service = S3ServiceBuilder::new(Store {
            files: FileSystem::new(folder.path()).unwrap(),
            root: folder.path().canonicalize().unwrap(),
        });
        service.set_auth(SimpleAuth::from_single(KEY, SECRET));
        let service = service.build();
        let (end, ended) = oneshot::channel();
        let (tell, told) = std::sync::mpsc::channel();
        // of its own, so that it serves whatever the test's runtime waits for
        thread::spawn(move || {
            let runtime = runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            let serving = async {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                tell.send(listener.local_addr().unwrap()).unwrap();
                loop {
                    let (socket, _) = listener.accept().await.unwrap();
                    let service = service.clone();
                    tokio::spawn(async move {
                        let connections = Builder::new(TokioExecutor::new());
                        // whoever goes away is nobody's failure
                        drop(
                            connections
                                .serve_connection(TokioIo::new(socket), service)
                                .await,
                        );
                    });
                }
            };
            runtime.block_on(async {
                tokio::select! {
                    () = serving => {}
                    _ = ended => {}
                }
            });
        });
        Self {
            folder: Arc::new(folder),
            address: told.recv().unwrap(),
            _end: end,
        }
    }

    /// The URL of a prefix there.
    #[must_use]
    pub fn url(&self, prefix: &str) -> String {
        format!("s3://{BUCKET}/{prefix}")
    }

    /// What a program has in its environment that keeps files there.
    #[must_use]
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_ACCESS_KEY_ID", KEY.into()),
            ("AWS_SECRET_ACCESS_KEY", SECRET.into()),
            ("AWS_REGION", "us-east-1".into()),
            ("AWS_ENDPOINT_URL", format!("http://{}", self.address)),
            ("AWS_ALLOW_HTTP", "true".into()),
        ]
    }

    /// A prefix there, for a deployment in this process.
    #[must_use]
    pub fn files(&self, prefix: &str) -> FilesElsewhere {
        let options = self.environment();
        let options = options
            .iter()
            .map(|(name, value)| (name.to_ascii_lowercase(), value));
        let options: Vec<_> = options.collect();
        let told = options
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        let folder = self.folder.clone();
        FilesElsewhere {
            store: FileStore::at_with(&self.url(prefix), told).unwrap(),
            folder: self.bucket().join(prefix),
            unfinished: Arc::new(move || unfinished(folder.path())),
        }
    }

    /// The folder that the bucket is.
    #[must_use]
    pub fn bucket(&self) -> PathBuf {
        self.folder.path().join(BUCKET)
    }
}

/// A path for each upload that is not whole.
fn unfinished(folder: &Path) -> Vec<PathBuf> {
    let names = fs::read_dir(folder).unwrap().filter_map(|entry| {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let rest = name
            .strip_prefix(".upload-")
            .or_else(|| name.strip_prefix(".upload_id-"))?;
        Some(rest.split('.').next().unwrap().to_owned())
    });
    let ids: BTreeSet<_> = names.collect();
    ids.into_iter().map(|id| folder.join(id)).collect()
}

/// Objects as files, and where that shows otherwise, as S3 has it: a folder is no object, and gone with
/// what was in it; and what has changed is not given to whoever wants what was there before.
struct Store {
    files: FileSystem,
    root: PathBuf,
}

impl Store {
    fn path(&self, bucket: &str, key: &str) -> PathBuf {
        self.root.join(bucket).join(key)
    }

    fn object(&self, bucket: &str, key: &str) -> S3Result<()> {
        match self.path(bucket, key).is_dir() {
            true => Err(s3_error!(NoSuchKey)),
            false => Ok(()),
        }
    }

    /// Removes the folders that are empty now.
    fn tidy(&self, bucket: &str, key: &str) {
        let root = self.root.join(bucket);
        let path = self.path(bucket, key);
        for folder in path.ancestors().skip(1) {
            if folder == root || fs::remove_dir(folder).is_err() {
                return;
            }
        }
    }
}

#[async_trait::async_trait]
impl S3 for Store {
    async fn get_object(
        &self,
        req: S3Request<GetObjectInput>,
    ) -> S3Result<S3Response<GetObjectOutput>> {
        self.object(&req.input.bucket, &req.input.key)?;
        let wanted = req.input.if_match.clone();
        let found = self.files.get_object(req).await?;
        let is = found
            .output
            .e_tag
            .as_ref()
            .map(|tag| tag.value().to_owned());
        match wanted.and_then(|wanted| wanted.as_etag().map(|tag| tag.value().to_owned())) {
            Some(wanted) if Some(&wanted) != is.as_ref() => Err(s3_error!(PreconditionFailed)),
            _ => Ok(found),
        }
    }

    async fn head_object(
        &self,
        req: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        self.object(&req.input.bucket, &req.input.key)?;
        self.files.head_object(req).await
    }

    async fn list_objects_v2(
        &self,
        req: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        self.files.list_objects_v2(req).await
    }

    async fn put_object(
        &self,
        req: S3Request<PutObjectInput>,
    ) -> S3Result<S3Response<PutObjectOutput>> {
        self.files.put_object(req).await
    }

    async fn copy_object(
        &self,
        req: S3Request<CopyObjectInput>,
    ) -> S3Result<S3Response<CopyObjectOutput>> {
        self.files.copy_object(req).await
    }

    async fn delete_object(
        &self,
        req: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        let (bucket, key) = (req.input.bucket.clone(), req.input.key.clone());
        let done = self.files.delete_object(req).await;
        self.tidy(&bucket, &key);
        done
    }

    async fn delete_objects(
        &self,
        req: S3Request<DeleteObjectsInput>,
    ) -> S3Result<S3Response<DeleteObjectsOutput>> {
        let bucket = req.input.bucket.clone();
        let objects = req.input.delete.objects.iter();
        let keys: Vec<_> = objects.map(|object| object.key.clone()).collect();
        let done = self.files.delete_objects(req).await;
        keys.iter().for_each(|key| self.tidy(&bucket, key));
        done
    }

    async fn create_multipart_upload(
        &self,
        req: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        self.files.create_multipart_upload(req).await
    }

    async fn upload_part(
        &self,
        req: S3Request<UploadPartInput>,
    ) -> S3Result<S3Response<UploadPartOutput>> {
        self.files.upload_part(req).await
    }

    async fn complete_multipart_upload(
        &self,
        req: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        self.files.complete_multipart_upload(req).await
    }

    async fn abort_multipart_upload(
        &self,
        req: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        self.files.abort_multipart_upload(req).await
    }
}
