"""Whose request it is, which the manager of every model of a tenant's asks."""

from contextvars import ContextVar

from django.db import models
from django.http import Http404

current = ContextVar("tenant")


class TenantManager(models.Manager):
    """Finds the current tenant's objects; without one it fails."""

    def get_queryset(self):
        return super().get_queryset().filter(tenant_id=current.get())


class TenantMiddleware:
    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        from .models import Tenant

        try:
            tenant = Tenant.objects.get(code=request.headers.get("Tenant-Code"))
        except Tenant.DoesNotExist:
            raise Http404 from None
        token = current.set(tenant.pk)
        try:
            return self.get_response(request)
        finally:
            current.reset(token)
