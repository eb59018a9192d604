"""As `startproject` makes them, with what an API without sign-in needs."""

import os
from urllib.parse import urlsplit

database = urlsplit(os.environ["DATABASE_URL"])

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": database.path.removeprefix("/"),
        "USER": database.username,
        "HOST": database.hostname,
        "PORT": database.port,
        # each thread keeps its connection
        "CONN_MAX_AGE": None,
    }
}

INSTALLED_APPS = ["django.contrib.contenttypes", "rest_framework", "products"]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    # tells how long an answer is, without which no connection is kept open
    "django.middleware.common.CommonMiddleware",
    "products.tenant.TenantMiddleware",
]

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": [],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "UNAUTHENTICATED_USER": None,
}

ALLOWED_HOSTS = ["localhost"]
ROOT_URLCONF = "project.urls"
WSGI_APPLICATION = "project.wsgi.application"
SECRET_KEY = "nothing is signed here"
TIME_ZONE = "UTC"
USE_TZ = True
