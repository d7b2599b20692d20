from django.contrib import admin
from django.contrib.auth import views as auth
from django.urls import include, path

from medagg.accounts import SignUpView
from medagg.health import healthz, readyz

urlpatterns = [
    path("", include("catalog.urls")),
    path("collections/", include("collections_app.urls")),
    path("accounts/signup/", SignUpView.as_view(), name="signup"),
    path("accounts/login/", auth.LoginView.as_view(redirect_authenticated_user=True), name="login"),
    path("accounts/", include("django.contrib.auth.urls")),
    path("admin/", admin.site.urls),
    path("healthz/", healthz, name="healthz"),
    path("readyz/", readyz, name="readyz"),
]

handler500 = "medagg.errors.server_error"
